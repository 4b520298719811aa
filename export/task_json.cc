// SPDX-License-Identifier: Apache-2.0
#include "export/task_json.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "export/large_stack.h"
#include "export/symbolize.h"
#include "labels/label_set.h"
#include "labels/utf8.h"

namespace curg {
namespace {

constexpr size_t kPiece = size_t{64} << 10;

// `text` in quotes.
void AppendString(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : internal::RepairUtf8(text)) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&out, "\\u00", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      out += c;
    }
  }
  out += '"';
}

void AppendText(std::string& out, const char* key, std::string_view value) {
  absl::StrAppend(&out, ",\"", key, "\":");
  AppendString(out, value);
}

int64_t Milliseconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

// What many tasks share is made once.
class Parts {
 public:
  Parts(const TaskProfile& profile, FrameSource& frames)
      : profile_(profile),
        frames_(frames),
        stacks_(profile.stacks.size()),
        spawn_stacks_(profile.spawn_stacks.size()),
        labels_(profile.tags.size()) {}

  const std::string& Stack(StackTable::Number number) {
    return Array(profile_.stacks, stacks_, number);
  }
  const std::string& SpawnStack(StackTable::Number number) {
    return Array(profile_.spawn_stacks, spawn_stacks_, number);
  }

  const std::string& Labels(uint32_t tag) {
    std::string& text = labels_[tag];
    if (!text.empty()) return text;
    text = "{";
    if (const LabelSet* labels = LabelSet::FromTag(profile_.tags[tag].get())) {
      for (const Label& label : *labels) {
        if (text.size() > 1) text += ',';
        AppendString(text, label.key);
        text += ':';
        AppendString(text, label.value);
      }
    }
    text += '}';
    return text;
  }

  const std::string& Site(uintptr_t pc) {
    auto [it, is_new] = sites_.try_emplace(pc);
    if (is_new && pc != 0) AppendFrames(pc - 1, /*all=*/false, it->second);
    return it->second;
  }

 private:
  // ["leaf file:line",...]
  const std::string& Array(const StackTable& table, std::vector<std::string>& texts,
                           StackTable::Number number) {
    std::string& text = texts[number];
    if (!text.empty()) return text;
    text = "[";
    bool leaf = true;
    for (const uintptr_t pc : table[number]) {
      AppendFrames(leaf ? pc : pc - 1, /*all=*/true, text);
      leaf = false;
    }
    text += ']';
    return text;
  }

  // The frames at an address, quoted; or only the last one, which holds the code.
  void AppendFrames(uintptr_t address, bool all, std::string& out) {
    const std::vector<Frame>& frames = frames_.FramesAt(address);
    for (size_t i = all || frames.empty() ? 0 : frames.size() - 1;
         i < std::max<size_t>(1, frames.size()); ++i) {
      if (!out.empty() && out.back() == '"') out += ',';
      if (frames.empty() || frames[i].function.empty()) {
        AppendString(out, absl::StrCat("0x", absl::Hex(address)));
      } else if (frames[i].file.empty()) {
        AppendString(out, frames[i].function);
      } else {
        AppendString(out,
                     absl::StrCat(frames[i].function, " ", frames[i].file, ":", frames[i].line));
      }
    }
  }

  const TaskProfile& profile_;
  FrameSource& frames_;
  std::vector<std::string> stacks_;
  std::vector<std::string> spawn_stacks_;
  std::vector<std::string> labels_;
  absl::flat_hash_map<uintptr_t, std::string> sites_;
};

void AppendTask(const TaskProfile& profile, const TaskRecord& task, Parts& parts,
                std::string& out) {
  const TaskGroup& group = profile.GroupOf(task);
  absl::StrAppend(&out, "{\"id\":", task.id);
  if (task.name != 0) AppendText(out, "name", profile.names[task.name]);
  AppendText(out, "status", TaskStatusName(group.status));
  if (group.wait != internal::WaitReason::kNone)
    AppendText(out, "wait", internal::WaitReasonName(group.wait));
  if (task.wait_object != nullptr) {
    absl::StrAppend(&out, ",\"object\":\"0x",
                    absl::Hex(reinterpret_cast<uintptr_t>(task.wait_object)), "\"");
  }
  if (task.wait_task != 0) absl::StrAppend(&out, ",\"holder\":", task.wait_task);
  if (task.due.count() > 0) absl::StrAppend(&out, ",\"due_ms\":", Milliseconds(task.due));
  if (task.cpu.count() > 0) absl::StrAppend(&out, ",\"cpu_ns\":", task.cpu.count());
  absl::StrAppend(&out, ",\"age_ms\":", Milliseconds(task.age),
                  ",\"labels\":", parts.Labels(group.tag), ",\"spawner\":", task.spawner_id,
                  ",\"spawn_site\":", parts.Site(task.spawn_pc));
  if (task.spawn_stack != 0)
    absl::StrAppend(&out, ",\"spawn_stack\":", parts.SpawnStack(task.spawn_stack));
  absl::StrAppend(&out, ",\"stack\":", parts.Stack(group.stack), "}\n");
}

}  // namespace

bool WriteTaskJson(const TaskProfile& profile, TextSink sink) {
  bool wanted = true;
  internal::OnLargeStack([&] {
    Symbolizer symbolizer(profile.mappings);
    Parts parts(profile, symbolizer);
    std::string text;
    for (const TaskRecord& task : profile.tasks) {
      AppendTask(profile, task, parts, text);
      if (text.size() < kPiece) continue;
      wanted = sink(text);
      if (!wanted) return;
      text.clear();
    }
    if (!text.empty()) wanted = sink(text);
  });
  return wanted;
}

std::string TaskJson(const TaskProfile& profile) {
  std::string text;
  WriteTaskJson(profile, [&](std::string_view piece) {
    text.append(piece);
    return true;
  });
  return text;
}

}  // namespace curg
