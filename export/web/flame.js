// The page: what is seen of the tree, and what the reader does with it. All that it shows goes into the
// document as text, never as HTML: names and labels may hold anything. What the reader chose is in the
// URL's fragment, so that it can be kept and passed on.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const MIN_PX = 1.5;      // narrower frames are not drawn
  const NARROW_PX = 24;    // nor the names of these

  const embedded = $("data");
  const state = { profile: null, type: 0, split: "", only: new Map(), search: "", root: null, zoom: null, focus: null };
  const elements = new Map();  // node -> its element
  let recording = null;        // an AbortController

  // ---- The URL's fragment

  const readHash = () => {
    const hash = new URLSearchParams(location.hash.slice(1));
    state.split = hash.get("split") || "";
    state.search = hash.get("search") || "";
    state.only = new Map();
    for (const [key, value] of hash) if (key.startsWith("only.")) state.only.set(key.slice(5), value);
    for (const key of hash.getAll("without")) state.only.set(key, curg.NONE);
    if (hash.has("seconds")) $("seconds").value = hash.get("seconds");
    state.wantedType = hash.get("type");
    state.wantedZoom = hash.get("zoom");
  };

  const writeHash = () => {
    const hash = new URLSearchParams();
    if (state.split) hash.set("split", state.split);
    if (state.search) hash.set("search", state.search);
    for (const [key, value] of state.only) value === curg.NONE ? hash.append("without", key) : hash.set(`only.${key}`, value);
    if (state.profile && state.type !== state.profile.defaultType) hash.set("type", state.profile.types[state.type].type);
    if ($("seconds").value !== "5") hash.set("seconds", $("seconds").value);
    if (state.zoom && state.zoom !== state.root) hash.set("zoom", state.zoom.name);
    history.replaceState(null, "", `#${hash}`);
  };

  // ---- The controls

  const option = (select, text, value, chosen) => {
    const item = document.createElement("option");
    item.textContent = text;
    item.value = value;
    item.selected = chosen;
    select.append(item);
  };

  const shorten = (text) => (text.length > 60 ? `${text.slice(0, 57)}…` : text);

  const fillControls = () => {
    const { profile } = state;
    $("type").replaceChildren();
    profile.types.forEach((t, i) => option($("type"), `${t.type} (${t.unit})`, String(i), i === state.type));
    const keys = curg.labelKeys(profile, state.type);
    $("split").replaceChildren();
    option($("split"), "nothing", "", !state.split);
    for (const { key } of keys) option($("split"), key, key, key === state.split);
    $("split").disabled = keys.length === 0;
    $("filters").replaceChildren(keys.length ? "Only" : "");
    for (const { key, values } of keys) {
      const label = document.createElement("label");
      const select = document.createElement("select");
      label.append(`${shorten(key)} `, select);
      // A value may be any text, so the choice is a number.
      const chosen = state.only.has(key) ? state.only.get(key) : undefined;
      option(select, "any", "any", chosen === undefined);
      values.forEach((value, i) => option(select, value === "" ? '""' : shorten(value), String(i), chosen === value));
      option(select, "(none)", "none", chosen === curg.NONE);
      select.dataset.key = key;
      select.addEventListener("change", () => {
        if (select.value === "any") state.only.delete(key);
        else state.only.set(key, select.value === "none" ? curg.NONE : values[Number(select.value)]);
        rebuild();
      });
      $("filters").append(label);
    }
    $("search").value = state.search;
  };

  // ---- The graph

  const unit = () => state.profile.types[state.type].unit;
  const color = (node) => {
    let hash = 0;
    for (const c of node.name) hash = (hash * 31 + c.codePointAt(0)) | 0;
    if (node.kind === "all") return "hsl(0 0% 82%)";
    if (node.kind === "label") return `hsl(${node.hue} 70% 72%)`;
    const spread = Math.abs(hash) % 50;
    return node.hue === undefined ? `hsl(${8 + spread} 80% ${70 + (spread % 12)}%)` : `hsl(${node.hue} 55% ${74 + (spread % 14)}%)`;
  };

  const describe = (node) =>
    `${node.name}: total ${curg.format(node.total, unit())}, ${curg.percent(node.total, state.root.total)}; ` +
    `self ${curg.format(node.self, unit())}, ${curg.percent(node.self, state.root.total)}`;

  const showDetails = (node) => {
    const small = document.createElement("small");
    const parts = [`total ${curg.format(node.total, unit())} (${curg.percent(node.total, state.root.total)})`,
                   `self ${curg.format(node.self, unit())} (${curg.percent(node.self, state.root.total)})`];
    if (state.zoom !== state.root) parts.push(`${curg.percent(node.total, state.zoom.total)} of what is shown`);
    if (node.file) parts.push(node.file);
    small.textContent = parts.join(" · ");
    $("details").replaceChildren(node.name, small);
  };

  // "ns::(anonymous namespace)::Type<A, B>::Call" -> "Type<A, B>::Call": what tells frames apart goes first.
  const shortName = (name) => {
    const plain = name.replaceAll("(anonymous namespace)::", "");
    const head = plain.split(/[<({]/)[0];
    const skip = head.split("::").slice(0, -2).join("::");
    return skip && !plain.includes(": ") ? plain.slice(skip.length + 2) : plain;
  };

  const rowHeight = () => (matchMedia("(max-width: 40rem)").matches ? 26 : 20);

  let drawnWidth = 0;

  const draw = () => {
    const graph = $("graph");
    drawnWidth = graph.clientWidth;
    const width = drawnWidth || 800;
    const row = rowHeight();
    const { nodes: matches, total: matched } = curg.search(state.root, state.search);
    const fragment = document.createDocumentFragment();
    elements.clear();
    let depth = 0;

    const place = (node, left, share, passed) => {
      const element = document.createElement("div");
      element.className = "frame";
      element.classList.toggle("label", node.kind === "label");
      element.classList.toggle("narrow", share * width < NARROW_PX);
      element.classList.toggle("passed", passed);
      element.classList.toggle("match", matches.has(node));
      element.classList.toggle("faint", state.search !== "" && !matches.has(node));
      element.style.left = `${100 * left}%`;
      element.style.width = `${100 * share}%`;
      element.style.top = `${node.level * row}px`;
      element.style.background = color(node);
      element.textContent = share * width > 7 * node.name.length ? node.name : shortName(node.name);
      element.setAttribute("role", "treeitem");
      element.setAttribute("aria-level", String(node.level + 1));
      element.setAttribute("aria-label", describe(node));
      if (node.children.length) element.setAttribute("aria-expanded", "true");
      element.tabIndex = -1;
      element.node = node;
      elements.set(node, element);
      fragment.append(element);
      depth = Math.max(depth, node.level + 1);
    };

    for (let at = state.zoom.parent; at; at = at.parent) place(at, 0, 1, true);
    const pending = [[state.zoom, 0]];
    while (pending.length) {
      const [node, left] = pending.pop();
      const share = node.total / state.zoom.total;
      if (!(share * width >= MIN_PX)) continue;
      place(node, left, share, false);
      let x = left;
      for (const c of node.children) {
        pending.push([c, x]);
        x += c.total / state.zoom.total;
      }
    }
    graph.style.height = `${depth * row}px`;
    graph.replaceChildren(fragment);
    if (!elements.has(state.focus)) state.focus = state.zoom;
    const focused = elements.get(state.focus);
    if (focused) focused.tabIndex = 0;
    sayStatus(matches, matched);
  };

  const sayStatus = (matches, matched) => {
    const { profile, root } = state;
    const parts = [];
    if (root.total === 0) {
      parts.push(profile.samples.length === 0 ? "The profile is empty: nothing used the CPU, or see below." : "No sample matches.");
    } else {
      parts.push(`${curg.format(root.total, unit())} of ${profile.types[state.type].type}`);
      if (profile.durationMs > 0) parts.push(`in ${curg.format(profile.durationMs * 1e6, "nanoseconds")}`);
    }
    if (state.search) parts.push(`· "${state.search}": ${matches.size} frames, ${curg.percent(matched, root.total) || "nothing"}`);
    $("status").className = "";
    $("status").textContent = parts.join(" ");
  };

  const fillTable = () => {
    const rows = curg.functions(state.root).slice(0, 50).map((f) => {
      const row = document.createElement("tr");
      for (const text of [curg.format(f.self, unit()), curg.percent(f.self, state.root.total),
                          curg.format(f.total, unit()), curg.percent(f.total, state.root.total)]) {
        row.insertCell().textContent = text;
      }
      const name = document.createElement("button");
      name.type = "button";
      name.textContent = f.name;
      name.addEventListener("click", () => { setSearch(f.name); $("graph").scrollIntoView(); });
      row.insertCell().append(name);
      return row;
    });
    $("rows").replaceChildren(...rows);
  };

  const rebuild = () => {
    const { profile } = state;
    state.root = curg.buildTree(profile, { type: state.type, split: state.split, only: state.only });
    state.zoom = state.root;
    if (state.wantedZoom) {
      curg.walk(state.root, (node) => {
        if (state.zoom === state.root && node.name === state.wantedZoom) state.zoom = node;
        return state.zoom === state.root;
      });
      state.wantedZoom = null;
    }
    state.focus = state.zoom;
    fillTable();
    draw();
    showDetails(state.zoom);
    writeHash();
  };

  const zoomTo = (node) => {
    state.zoom = node;
    state.focus = node;
    draw();
    focusOn(node);
    writeHash();
  };

  const focusOn = (node) => {
    const element = elements.get(node);
    if (!element) return;
    if (elements.get(state.focus)) elements.get(state.focus).tabIndex = -1;
    state.focus = node;
    element.tabIndex = 0;
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
    showDetails(node);
  };

  const setSearch = (text) => {
    state.search = text;
    $("search").value = text;
    draw();
    writeHash();
  };

  // ---- Where profiles come from

  const load = (profile) => {
    state.profile = profile;
    const wanted = profile.types.findIndex((t) => t.type === state.wantedType);
    state.type = wanted >= 0 ? wanted : profile.defaultType;
    if (profile.title) document.title = $("title").textContent = profile.title;
    fillControls();
    $("comments").replaceChildren(...profile.comments.map((comment) => {
      const item = document.createElement("li");
      item.textContent = comment;
      return item;
    }));
    rebuild();
  };

  const fail = (element, message) => {
    element.className = "error";
    element.textContent = message;
  };

  const record = async () => {
    const seconds = Number($("seconds").value);
    if (!(seconds >= 1)) return fail($("status"), "Seconds must be 1 or more.");
    recording = new AbortController();
    const { signal } = recording;
    $("go").textContent = "Stop";
    const started = performance.now();
    const progress = $("progress");
    progress.hidden = false;
    const clock = setInterval(() => { progress.value = Math.min(1, (performance.now() - started) / 1000 / seconds); }, 100);
    let ok = false;
    try {
      const answer = await fetch(`flame.json?seconds=${seconds}`, { signal, cache: "no-store" });
      const text = await answer.text();
      if (answer.ok) {
        load(JSON.parse(text));
        ok = true;
      } else {
        fail($("status"), `The program says: ${text.trim()}`);
      }
    } catch (error) {
      if (error.name !== "AbortError") fail($("status"), `No profile: ${error.message}. Is the program still running?`);
    }
    clearInterval(clock);
    progress.hidden = true;
    $("go").textContent = "Record";
    recording = null;
    if (ok && $("again").checked) record();
  };

  // ---- What the reader does

  $("record").addEventListener("submit", (event) => {
    event.preventDefault();
    if (recording) {
      $("again").checked = false;
      recording.abort();
    } else {
      record();
    }
  });
  $("tools").addEventListener("submit", (event) => event.preventDefault());
  $("type").addEventListener("change", () => { state.type = Number($("type").value); fillControls(); rebuild(); });
  $("split").addEventListener("change", () => { state.split = $("split").value; rebuild(); });
  $("search").addEventListener("input", () => { if (state.root) setSearch($("search").value); });
  $("reset").addEventListener("click", () => {
    Object.assign(state, { split: "", search: "", only: new Map(), wantedZoom: null });
    if (state.profile) load(state.profile);
  });

  const graph = $("graph");
  const nodeOf = (event) => event.target.closest(".frame")?.node;
  graph.addEventListener("click", (event) => { const node = nodeOf(event); if (node) zoomTo(node); });
  graph.addEventListener("pointerover", (event) => { const node = nodeOf(event); if (node) showDetails(node); });
  graph.addEventListener("pointerleave", () => { if (state.focus) showDetails(state.focus); });
  graph.addEventListener("focusin", (event) => { const node = nodeOf(event); if (node) showDetails(node); });

  const drawn = (nodes) => nodes.filter((node) => elements.has(node));
  const sibling = (node, step) => {
    const row = node.parent ? drawn(node.parent.children) : [node];
    return row[row.indexOf(node) + step];
  };
  const moves = {
    ArrowDown: (node) => drawn(node.children)[0],
    ArrowUp: (node) => node.parent,
    ArrowLeft: (node) => sibling(node, -1),
    ArrowRight: (node) => sibling(node, 1),
    Home: () => state.root,
    End: (node) => { for (let next; (next = drawn(node.children)[0]); ) node = next; return node; },
  };
  graph.addEventListener("keydown", (event) => {
    const node = nodeOf(event);
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") zoomTo(node);
    else if (event.key === "Escape" || event.key === "Backspace") zoomTo(state.zoom.parent || state.root);
    else if (moves[event.key]) focusOn(moves[event.key](node) || node);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select");
    if (event.key === "/" && !typing && !$("cpu").hidden) {
      event.preventDefault();
      $("search").focus();
    } else if (event.key === "Escape" && event.target === $("search")) {
      setSearch("");
    }
  });
  // Not of its height, which is draw()'s own doing: whoever holds a frame by then would lose it.
  new ResizeObserver(() => { if (state.root && graph.clientWidth !== drawnWidth) draw(); }).observe(graph);
  addEventListener("hashchange", () => { readHash(); if (state.profile) load(state.profile); });

  readHash();
  if (embedded) {
    $("record").hidden = $("views").hidden = true;
    load(JSON.parse(embedded.textContent));
  } else if (!new URLSearchParams(location.hash.slice(1)).has("tasks")) {
    record();
  }
})();
