// SPDX-License-Identifier: Apache-2.0
//
// A unit with much debug information: what symbolize.py makes a large program of.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace large {

template <int N>
struct Record {
  std::string name;
  std::map<int, std::vector<std::string>> rows;
  std::optional<std::tuple<int, double, std::string>> last;
  friend bool operator<(const Record& a, const Record& b) { return a.name < b.name; }
};

template <int N>
class Store {
 public:
  int Add(int key, const std::string& text) {
    Record<N>& record = records_[text];
    record.name = text;
    record.rows[key].push_back(text + std::to_string(N));
    record.last = std::tuple(key, key * 0.5, text);
    sorted_.insert(record);
    handlers_.push_back([this, key](int x) { return static_cast<int>(records_.size()) + key + x; });
    return static_cast<int>(records_.size());
  }

  int Sum(int seed) const {
    std::vector<int> numbers;
    for (const auto& [name, record] : records_) {
      for (const auto& [key, rows] : record.rows) {
        numbers.push_back(std::accumulate(
            rows.begin(), rows.end(), key,
            [](int sum, const auto& row) { return sum + static_cast<int>(row.size()); }));
      }
    }
    std::sort(numbers.begin(), numbers.end(),
              [seed](int a, int b) { return (a ^ seed) < (b ^ seed); });
    std::stable_sort(numbers.begin(), numbers.end());
    for (const auto& handler : handlers_) seed += handler(seed);
    return numbers.empty() ? seed : numbers.front();
  }

  std::string Print() const {
    std::ostringstream out;
    for (const Record<N>& record : sorted_) {
      std::visit([&out](const auto& value) { out << value; },
                 std::variant<int, std::string>(record.name));
    }
    return out.str();
  }

 private:
  std::unordered_map<std::string, Record<N>> records_;
  std::set<Record<N>> sorted_;
  std::vector<std::function<int(int)>> handlers_;
};

template <int N>
int Work(int seed) {
  auto store = std::make_unique<Store<N>>();
  for (int i = 0; i < seed; ++i) store->Add(i, "key" + std::to_string(i % 7));
  return store->Sum(seed) + static_cast<int>(store->Print().size());
}

template <int... N>
int WorkAll(int seed, std::integer_sequence<int, N...>) {
  return (Work<N>(seed) + ... + 0);
}

}  // namespace large

extern "C" int large_entry(int seed) {
  const std::regex words("([a-z]+)([0-9]*)", std::regex::icase);
  const std::string text = std::to_string(seed) + "key";
  return large::WorkAll(seed, std::make_integer_sequence<int, 16>()) +
         static_cast<int>(std::regex_search(text, words));
}
