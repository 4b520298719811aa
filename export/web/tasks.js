// The list of tasks, by status, with their stacks. What it shows goes into the document as text, never as HTML.
"use strict";

// Tasks of equal status, wait, labels and stack are one group: [{status, groups: [{tasks, ...}]}], both with the
// most tasks first.
curg.groupTasks = (tasks) => {
  const byStatus = new Map();
  for (const task of tasks) {
    const status = task.wait ? `${task.status}: ${task.wait}` : task.status;
    if (!byStatus.has(status)) byStatus.set(status, new Map());
    const groups = byStatus.get(status);
    const key = JSON.stringify([task.stack, task.labels]);
    if (!groups.has(key)) groups.set(key, { stack: task.stack || [], labels: task.labels || {}, tasks: [] });
    groups.get(key).tasks.push(task);
  }
  const most = (a, b) => b.count - a.count;
  return [...byStatus]
    .map(([status, groups]) => {
      const list = [...groups.values()].map((g) => ({ ...g, count: g.tasks.length })).sort(most);
      return { status, groups: list, count: list.reduce((sum, g) => sum + g.count, 0) };
    })
    .sort(most);
};

(() => {
  const $ = (id) => document.getElementById(id);
  const NAMES_MAX = 20;
  let answer = null;

  const element = (name, className, ...content) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...content);
    return made;
  };

  const matches = (task, wanted) =>
    [task.name || "", ...(task.stack || []), ...Object.entries(task.labels || {}).flat()].join("\n").toLowerCase().includes(wanted);

  const groupItem = (group) => {
    const chips = Object.entries(group.labels).map(([key, value]) => element("span", "chip", `${key}: ${value}`));
    const count = `${group.count} ${group.count === 1 ? "task" : "tasks"} `;
    const names = group.tasks.slice(0, NAMES_MAX).map((t) => {
      const age = curg.format((t.age_ms || 0) * 1e6, "nanoseconds");
      return `${t.name ? `${t.name} ` : ""}#${t.id} for ${age}${t.holder ? `, held up by #${t.holder}` : ""}`;
    });
    if (group.count > NAMES_MAX) names.push(`and ${group.count - NAMES_MAX} more`);
    const site = group.tasks[0].spawn_site;
    const frames = group.stack.map((frame) => element("li", "", frame));
    if (site) frames.push(element("li", "", element("small", "", `spawned at ${site}`)));
    return element("details", "group", element("summary", "", count, ...chips, group.stack[0] || "(no stack)"),
                   element("div", "", names.join("; ")), element("ol", "stack", ...frames));
  };

  const draw = () => {
    const wanted = $("task-search").value.trim().toLowerCase();
    const tasks = answer.tasks.filter((task) => !wanted || matches(task, wanted));
    const list = [];
    for (const { status, groups, count } of curg.groupTasks(tasks)) {
      list.push(element("h2", "", `${status} (${count})`), ...groups.map(groupItem));
    }
    $("task-list").replaceChildren(...list);
    $("task-status").className = "";
    $("task-status").textContent = `${tasks.length} of ${answer.total} tasks`;
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
