// What the page computes, without a document: from the samples of a profile (flame.proto) to a tree.
"use strict";

const curg = {};

// The keys of all labels, those with most time first, each with its values, likewise.
curg.labelKeys = (profile, type) => {
  const keys = new Map();
  for (const sample of profile.samples) {
    for (const [key, value] of Object.entries(profile.labelSets[sample.labelSet].labels)) {
      if (!keys.has(key)) keys.set(key, { total: 0, values: new Map() });
      const entry = keys.get(key);
      entry.total += sample.values[type];
      entry.values.set(value, (entry.values.get(value) || 0) + sample.values[type]);
    }
  }
  return [...keys]
    .sort((a, b) => b[1].total - a[1].total || (a[0] < b[0] ? -1 : 1))
    .map(([key, entry]) => ({ key, values: [...entry.values].sort((a, b) => b[1] - a[1]).map(([value]) => value) }));
};

// A label that a sample does not have; no value can be equal to it.
curg.NONE = null;

// The tree of the samples that match `only` (a Map from key to value, NONE included), merged by stack, below the
// values of the label `split` if it is given.
// Nodes: {name, file, kind: "all" | "label" | "frame", total, self, parent, children, level, hue}.
curg.buildTree = (profile, { type, split = "", only = new Map() }) => {
  const node = (name, file, kind, parent) => ({
    name, file, kind, parent, total: 0, self: 0, children: [], index: new Map(),
    level: parent ? parent.level + 1 : 0, hue: parent ? parent.hue : undefined,
  });
  const child = (parent, key, name, file, kind) => {
    let found = parent.index.get(key);
    if (!found) {
      found = node(name, file, kind, parent);
      parent.index.set(key, found);
      parent.children.push(found);
    }
    return found;
  };
  const root = node("all", "", "all", null);
  for (const sample of profile.samples) {
    const value = sample.values[type];
    const labels = profile.labelSets[sample.labelSet].labels;
    const valueOf = (key) => (Object.hasOwn(labels, key) ? labels[key] : curg.NONE);
    if (value === 0 || [...only].some(([key, wanted]) => valueOf(key) !== wanted)) continue;
    let at = root;
    at.total += value;
    if (split) {
      const label = valueOf(split);
      at = child(at, label, label === curg.NONE ? `(no ${split})` : `${split}: ${label}`, "", "label");
      at.total += value;
    }
    for (const frame of sample.frames) {
      at = child(at, frame, profile.frames[frame].name, profile.frames[frame].file, "frame");
      at.total += value;
    }
    at.self += value;
  }
  curg.finishTree(root);
  return root;
};

// Widest first, so that what matters is at the left; below each label, one hue.
curg.finishTree = (root) => {
  const pending = [root];
  while (pending.length) {
    const at = pending.pop();
    at.index = null;
    at.children.sort((a, b) => b.total - a.total || (a.name < b.name ? -1 : 1));
    at.children.forEach((c, i) => { c.hue = c.kind === "label" ? (210 + i * 67) % 360 : at.hue; });
    pending.push(...at.children);
  }
};

// Calls visit(node) for all nodes below and with `root`, parents first. False: not its children.
curg.walk = (root, visit) => {
  const pending = [root];
  while (pending.length) {
    const at = pending.pop();
    if (visit(at) !== false) pending.push(...at.children);
  }
};

// Each function with its own time and that of all it called, counted once a stack however often it recurs.
curg.functions = (root) => {
  const all = new Map();
  const active = new Map();
  const visit = (at) => {
    if (at.kind === "frame") {
      const key = `${at.name}\n${at.file}`;
      const entry = all.get(key) || { name: at.name, file: at.file, self: 0, total: 0 };
      all.set(key, entry);
      entry.self += at.self;
      const depth = active.get(key) || 0;
      if (depth === 0) entry.total += at.total;
      active.set(key, depth + 1);
      at.children.forEach(visit);
      active.set(key, depth);
    } else {
      at.children.forEach(visit);
    }
  };
  visit(root);
  return [...all.values()].sort((a, b) => b.self - a.self || b.total - a.total);
};

// What of the tree is below or in frames that match: {nodes: Set, total}.
curg.search = (root, text) => {
  const wanted = text.trim().toLowerCase();
  const nodes = new Set();
  let total = 0;
  if (!wanted) return { nodes, total };
  const pending = [[root, false]];
  while (pending.length) {
    const [at, below] = pending.pop();
    const hit = at.kind !== "all" && at.name.toLowerCase().includes(wanted);
    if (hit) nodes.add(at);
    if (hit && !below) total += at.total;
    for (const c of at.children) pending.push([c, below || hit]);
  }
  return { nodes, total };
};

curg.percent = (part, whole) => (whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "");

// 1234567890, "nanoseconds" -> "1.23 s".
curg.format = (value, unit) => {
  const scale = (steps, digits = 3) => {
    const [factor, name] = steps.find(([f]) => Math.abs(value) >= f) || steps[steps.length - 1];
    return `${Number((value / factor).toPrecision(digits))} ${name}`;
  };
  if (unit === "nanoseconds") return scale([[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]]);
  if (unit === "bytes") return scale([[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]);
  return `${value}${unit && unit !== "count" ? ` ${unit}` : ""}`;
};
