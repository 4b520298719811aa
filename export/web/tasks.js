// The list of tasks, by state, with their stacks.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  let answer = null;

  const element = (name, className, ...content) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...content);
    return made;
  };

  const frameItem = (frame) => {
    const item = element("li", "", frame.name);
    if (frame.file) item.append(element("small", "", ` ${frame.file}${frame.line ? `:${frame.line}` : ""}`));
    return item;
  };

  const textOf = (group) => [...group.stack.map((f) => f.name), ...group.tasks.map((t) => t.name), ...Object.entries(group.labels).flat()]
    .join("\n").toLowerCase();

  const groupItem = (group) => {
    const chips = Object.entries(group.labels).map(([key, value]) => element("span", "chip", `${key}: ${value}`));
    const count = `${group.count} ${group.count === 1 ? "task" : "tasks"} `;
    const summary = element("summary", "", count, ...chips, group.stack.length ? group.stack[0].name : "(no stack)");
    const names = group.tasks.map((t) => `${t.name || "task"} ${t.id}${t.wait ? `, ${t.wait}` : ""}`).join("; ");
    const more = group.count > group.tasks.length ? ` and ${group.count - group.tasks.length} more` : "";
    return element("details", "group", summary, element("div", "", names + more), element("ol", "stack", ...group.stack.map(frameItem)));
  };

  const draw = () => {
    const wanted = $("task-search").value.trim().toLowerCase();
    const list = [];
    let shown = 0;
    for (const state of answer.states) {
      const groups = state.groups.filter((group) => !wanted || textOf(group).includes(wanted));
      const count = groups.reduce((sum, group) => sum + group.count, 0);
      if (count === 0) continue;
      shown += count;
      list.push(element("h2", "", `${state.state}: ${count}`), ...groups.map(groupItem));
    }
    $("task-list").replaceChildren(...list);
    $("task-status").className = "";
    $("task-status").textContent = `${shown} of ${answer.total} tasks`;
  };

  const refresh = async () => {
    try {
      const response = await fetch("tasks.json", { cache: "no-store" });
      const text = await response.text();
      if (!response.ok) throw new Error(text.trim());
      answer = JSON.parse(text);
      draw();
    } catch (error) {
      $("task-status").className = "error";
      $("task-status").textContent = `No tasks: ${error.message}`;
    }
  };

  const show = (tasks) => {
    $("cpu").hidden = tasks;
    $("tasks").hidden = !tasks;
    $("view-cpu").setAttribute("aria-pressed", String(!tasks));
    $("view-tasks").setAttribute("aria-pressed", String(tasks));
    if (tasks && !answer) refresh();
  };

  $("view-cpu").addEventListener("click", () => show(false));
  $("view-tasks").addEventListener("click", () => show(true));
  $("refresh").addEventListener("click", refresh);
  $("task-search").addEventListener("input", () => { if (answer) draw(); });
  if (new URLSearchParams(location.hash.slice(1)).has("tasks")) show(true);
})();
