// SPDX-License-Identifier: Apache-2.0
#include "export/task_text.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "export/large_stack.h"
#include "export/report_words.h"
#include "labels/utf8.h"
#include "runtime/report_text.h"

namespace curg {
namespace {

using internal::ReportWords;
using internal::StringSink;
using std::chrono::nanoseconds;

constexpr size_t kPiece = size_t{64} << 10;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// "2.3s", "4m10s".
std::string Ago(nanoseconds age) {
  const absl::Duration duration = absl::FromChrono(age);
  const absl::Duration unit =
      duration < absl::Minutes(1) ? absl::Milliseconds(100) : absl::Seconds(1);
  return absl::FormatDuration(absl::Trunc(duration, unit));
}

// Text on its way to the sink, in pieces of whole paragraphs.
class Stream {
 public:
  explicit Stream(TextSink sink) : sink_(sink) {}

  std::string& text() { return text_; }
  // After a paragraph. False: no more is wanted.
  bool EndParagraph() { return text_.size() < kPiece || Flush(); }
  bool Flush() {
    if (wanted_ && !text_.empty()) wanted_ = sink_(text_);
    text_.clear();
    return wanted_;
  }

 private:
  TextSink sink_;
  std::string text_;
  bool wanted_ = true;
};

// What many tasks share is put into words once.
class Phrases {
 public:
  Phrases(const TaskProfile& profile, ReportWords& words)
      : profile_(profile),
        words_(words),
        stacks_(profile.groups.size()),
        tags_(profile.tags.size()),
        spawn_stacks_(profile.spawn_stacks.size()) {}

  // Lines, each indented by four.
  const std::string& Stack(size_t group_number) {
    std::string& text = stacks_[group_number];
    if (!text.empty()) return text;
    const TaskGroup& group = profile_.groups[group_number];
    const bool waits = group.status == TaskStatus::kParked;
    StringSink sink;
    words_.AppendStack(sink, {.wait = waits ? "" : nullptr,
                              .stack = profile_.stacks[group.stack],
                              .stack_cut = group.truncated});
    text = sink.text().empty() ? std::string("    (no stack)\n") : sink.text();
    return text;
  }

  // "file.cc:12 ..." of a call.
  const std::string& Site(uintptr_t pc) {
    auto [it, is_new] = sites_.try_emplace(pc);
    if (is_new && pc != 0) {
      StringSink sink;
      words_.AppendSite(sink, pc);
      it->second = sink.text();
    }
    return it->second;
  }

  // Lines of the callers of the spawn, each indented by six; empty where none were kept.
  const std::string& SpawnStack(uint32_t number) {
    std::string& text = spawn_stacks_[number];
    if (number == 0 || !text.empty()) return text;
    StringSink sink;
    words_.AppendStack(sink, {.wait = "", .stack = profile_.spawn_stacks[number]});
    for (absl::string_view rest = View(sink.text()); !rest.empty();) {
      const size_t end = rest.find('\n') + 1;
      absl::StrAppend(&text, "  ", rest.substr(0, end));
      rest.remove_prefix(end);
    }
    return text;
  }

  // " {...}" or nothing.
  const std::string& Labels(uint32_t tag) {
    std::string& text = tags_[tag];
    if (tag == 0 || !text.empty()) return text;
    StringSink sink;
    words_.AppendLabels(sink, profile_.tags[tag].get());
    text = sink.text();
    return text;
  }

 private:
  const TaskProfile& profile_;
  ReportWords& words_;
  std::vector<std::string> stacks_;
  std::vector<std::string> tags_;
  std::vector<std::string> spawn_stacks_;
  absl::flat_hash_map<uintptr_t, std::string> sites_;
};

absl::string_view StateWords(const TaskGroup& group) {
  if (group.status == TaskStatus::kParked) return internal::WaitReasonName(group.wait);
  return View(TaskStatusName(group.status));
}

void AppendHead(const TaskProfile& profile, std::string& out) {
  absl::StrAppend(&out, "task profile of ",
                  absl::FormatTime(absl::RFC3339_sec, profile.time, absl::LocalTimeZone()), ": ",
                  profile.total, profile.total == 1 ? " task" : " tasks");
  if (profile.matching != profile.total)
    absl::StrAppend(&out, ", ", profile.matching, " of them match");
  if (profile.unreached > 0)
    absl::StrAppend(&out, ", ", profile.unreached, " could not be reached");
  if (profile.lost > 0) absl::StrAppend(&out, ", ", profile.lost, " more lost for want of memory");
  absl::StrAppend(&out, "\n");
}

void AppendLeftOut(int64_t count, std::string& out) {
  if (count > 0)
    absl::StrAppend(&out, "\nand ", count, count == 1 ? " task more\n" : " tasks more\n");
}

// " on 0x7f..., held by task 7".
void AppendWait(const TaskRecord& task, const TaskGroup& group, std::string& out) {
  using internal::WaitReason;
  if (group.status != TaskStatus::kParked) return;
  if (group.wait == WaitReason::kSleep) {
    if (task.due.count() > 0) absl::StrAppend(&out, ", ", Ago(task.due), " left");
  } else if (group.wait == WaitReason::kJoin) {
    if (task.wait_task != 0) absl::StrAppend(&out, " task ", task.wait_task);
  } else {
    if (task.wait_object != nullptr) {
      absl::StrAppend(&out, " on 0x", absl::Hex(reinterpret_cast<uintptr_t>(task.wait_object)));
    }
    if (task.wait_task == 0) return;
    const bool receives = group.wait == WaitReason::kChannelReceive;
    const bool sends = group.wait == WaitReason::kChannelSend;
    absl::StrAppend(&out,
                    receives ? " from task "
                    : sends  ? " to task "
                             : " held by task ",
                    task.wait_task);
  }
}

void AppendTask(const TaskProfile& profile, const TaskRecord& task, Phrases& phrases,
                std::string& out) {
  const TaskGroup& group = profile.GroupOf(task);
  absl::StrAppend(&out, "\n", task.runtime_task ? "runtime task " : "task ", task.id);
  if (task.name != 0)
    absl::StrAppend(&out, " ", internal::QuoteUtf8(internal::RepairUtf8(profile.names[task.name])));
  absl::StrAppend(&out, phrases.Labels(group.tag), " [", StateWords(group));
  AppendWait(task, group, out);
  absl::StrAppend(&out, ", ", Ago(task.age));
  if (task.cpu.count() > 0) {
    absl::StrAppend(
        &out, ", CPU ",
        absl::FormatDuration(absl::Trunc(absl::FromChrono(task.cpu), absl::Microseconds(100))));
  }
  absl::StrAppend(&out, "]:\n", phrases.Stack(task.group), "  spawned by ");
  if (task.spawner_id == 0) {
    absl::StrAppend(&out, "a plain thread");
  } else {
    absl::StrAppend(&out, "task ", task.spawner_id);
  }
  absl::StrAppend(&out, " at ", phrases.Site(task.spawn_pc), "\n",
                  phrases.SpawnStack(task.spawn_stack));
}

void AppendGroup(const TaskGroup& group, size_t number, Phrases& phrases, std::string& out) {
  absl::StrAppend(&out, "\n", group.count, group.count == 1 ? " task" : " tasks",
                  phrases.Labels(group.tag), " [", StateWords(group), ", ", Ago(group.age_min));
  const std::string oldest = Ago(group.age_max);
  if (oldest != Ago(group.age_min)) absl::StrAppend(&out, " to ", oldest);
  absl::StrAppend(&out, "]:\n", phrases.Stack(number));
}

template <typename Write>
bool WithSymbols(Write write) {
  bool wanted = false;
  internal::OnLargeStack([&] {
    internal::SymbolWords words;
    wanted = write(words);
  });
  return wanted;
}

template <typename Write>
std::string Whole(Write write) {
  std::string text;
  write([&](std::string_view piece) {
    text.append(piece);
    return true;
  });
  return text;
}

}  // namespace

bool internal::WriteTaskText(const TaskProfile& profile, ReportWords& words, TextSink sink,
                             const TaskTextOptions& options) {
  Stream stream(sink);
  Phrases phrases(profile, words);
  AppendHead(profile, stream.text());
  const size_t shown = std::min(profile.tasks.size(), options.paragraphs_max);
  for (size_t i = 0; i < shown; ++i) {
    AppendTask(profile, profile.tasks[i], phrases, stream.text());
    if (!stream.EndParagraph()) return false;
  }
  AppendLeftOut(profile.left_out + static_cast<int64_t>(profile.tasks.size() - shown),
                stream.text());
  return stream.Flush();
}

bool internal::WriteGroupedTaskText(const TaskProfile& profile, ReportWords& words, TextSink sink,
                                    const TaskTextOptions& options) {
  Stream stream(sink);
  Phrases phrases(profile, words);
  AppendHead(profile, stream.text());
  int64_t rest = profile.matching;
  const size_t shown = std::min(profile.groups.size(), options.paragraphs_max);
  for (size_t i = 0; i < shown; ++i) {
    AppendGroup(profile.groups[i], i, phrases, stream.text());
    rest -= profile.groups[i].count;
    if (!stream.EndParagraph()) return false;
  }
  AppendLeftOut(rest, stream.text());
  return stream.Flush();
}

bool WriteTaskText(const TaskProfile& profile, TextSink sink, const TaskTextOptions& options) {
  if (profile.tasks.empty()) return WriteGroupedTaskText(profile, sink, options);
  return WithSymbols(
      [&](ReportWords& words) { return internal::WriteTaskText(profile, words, sink, options); });
}

bool WriteGroupedTaskText(const TaskProfile& profile, TextSink sink,
                          const TaskTextOptions& options) {
  return WithSymbols([&](ReportWords& words) {
    return internal::WriteGroupedTaskText(profile, words, sink, options);
  });
}

std::string TaskText(const TaskProfile& profile, const TaskTextOptions& options) {
  return Whole([&](TextSink sink) { WriteTaskText(profile, sink, options); });
}

std::string GroupedTaskText(const TaskProfile& profile, const TaskTextOptions& options) {
  return Whole([&](TextSink sink) { WriteGroupedTaskText(profile, sink, options); });
}

std::string WaitCycleText(const TaskProfile& profile, const std::vector<size_t>& cycle) {
  std::string text =
      absl::StrCat("partial deadlock: ", cycle.size(),
                   cycle.size() == 1 ? " task waits for itself: " : " tasks wait for each other: ");
  for (const size_t number : cycle)
    absl::StrAppend(&text, "task ", profile.tasks[number].id, " -> ");
  return absl::StrCat(text, "task ", profile.tasks[cycle.front()].id, "\n");
}

}  // namespace curg
