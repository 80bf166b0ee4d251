'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const byId = id => document.getElementById(id);

// Text into elements only, never into markup: names come from files.
function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined && text !== null) e.textContent = text;
  if (className) e.className = className;
  return e;
}
function bytes(n) {
  for (const [unit, size] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]]) {
    if (Math.abs(n) >= size) return (n / size).toFixed(unit === 'GiB' ? 2 : 1) + ' ' + unit;
  }
  return n + ' B';
}
function seconds(t) {
  const a = Math.abs(t);
  if (a === 0) return '0';
  return a >= 1 ? t.toFixed(3) + ' s' : a >= 1e-3 ? (t * 1e3).toFixed(3) + ' ms' : (t * 1e6).toFixed(1) + ' \u00b5s';
}
const more = t => (t >= 0 ? '+' : '\u2212') + seconds(Math.abs(t));
const arrows = text => text.replace(/->/g, '\u2192');

function table(head, rows) {
  const t = element('table');
  const fill = (tag, cells, className) => {
    const row = element('tr', undefined, className);
    cells.forEach((cell, i) => row.append(element(tag, cell, head[i][1] ? 'number' : '')));
    t.append(row);
  };
  fill('th', head.map(h => h[0]));
  rows.forEach(r => fill('td', r.cells, r.className));
  return t;
}

// The panel: what an operator is, and why it is placed so.
function alternatives(op) {
  const chosen = op.signatures[0];
  const step = s => s.step === undefined ? 'not known' : s.step === null ? 'impossible' :
    s.chosen ? seconds(s.step) : more(s.step - chosen.step);
  const t = table([['Signature'], ['Step', 1], ['Compute', 1], ['Moving', 1], ['Why not']], op.signatures.map(s => ({
    className: s.chosen ? 'chosen' : s.step === null ? 'impossible' : '',
    cells: [arrows(s.signature), step(s), seconds(s.compute),
      s.communication === null ? '\u2013' : seconds(s.communication), s.chosen ? 'chosen' : s.why],
  })));
  t.id = 'alternatives';
  return [element('h3', 'Alternatives'), t,
    element('p', 'Step: of the search\u2019s model, with the best of everything else for it. Compute: this operator alone. ' +
      'Moving: what its neighbours, as they are, would need.', 'note')];
}
function tensors(title, list) {
  if (!list.length) return [];
  return [element('h3', title), ...list.map(t => {
    const row = element('div', undefined, 'tensor');
    const chip = element('span', t.sbp, 'chip');
    chip.style.background = data.colors[t.sbp] || '#eee';
    row.append(chip, t.tensor + ' ', element('span', t.type + ', ' + bytes(t.bytes) + ' a device', 'shape'));
    return row;
  })];
}
function showOp(index) {
  const op = data.ops[index];
  const panel = byId('panel');
  const times = op.times > 1 ? ', ' + op.times + ' times' : '';
  panel.replaceChildren(element('h2', op.name),
    element('div', (op.collective ? op.collective.kind : op.op) + ' in layer ' + op.layer + times, 'what'),
    element('div', op.part + ', ' + op.phase + ', predicted ' + seconds(op.seconds), 'what'));
  panel.scrollTop = 0;
  if (op.collective) {
    const c = op.collective;
    panel.append(element('h3', 'Moves'), element('div', arrows(c.transition) + ' among ' + c.ranks +
      ' devices; each sends ' + bytes(c.bytes)));
  }
  panel.append(...tensors('Makes', op.outputs), ...tensors('Reads', op.reads));
  if (op.signatures) panel.append(...alternatives(op));
  else panel.append(element('p', data.no_alternatives, 'note'));
  const others = data.ops.map((o, i) => i).filter(i => data.ops[i].layer === op.layer && i !== index);
  if (others.length) {
    panel.append(element('h3', 'Also in this layer'));
    others.forEach(i => {
      const a = element('a', data.ops[i].name + ' (' + data.ops[i].phase + ')');
      a.onclick = () => select(i);
      panel.append(a);
    });
  }
}

const nodeOf = index => data.ops[index].drawn >= 0 ? byId('op' + data.ops[index].drawn) : null;
let selected = -1;
function select(index) {
  if (index < 0) return;
  document.querySelectorAll('g.node.selected').forEach(n => n.classList.remove('selected'));
  selected = index;
  const node = nodeOf(index);
  if (node) {
    node.classList.add('selected');
    const pane = byId('graph'), at = node.getBoundingClientRect(), frame = pane.getBoundingClientRect();
    pane.scrollBy(at.x + at.width / 2 - frame.x - frame.width / 2, at.y + at.height / 2 - frame.y - frame.height / 2);
  }
  showOp(index);
  drawCharts();
}
data.ops.forEach((op, i) => {
  const node = nodeOf(i);
  if (node) node.addEventListener('click', () => dragged || select(i));
});

// Search: names of operators and tensors, layers and kinds.
const texts = data.ops.map(op => [op.name, op.op, op.layer, op.part, op.collective ? op.collective.kind : '',
  ...op.outputs.map(o => o.tensor), ...op.reads.map(r => r.tensor)].join(' ').toLowerCase());
function search() {
  const words = byId('search').value.toLowerCase().split(/\s+/).filter(w => w);
  const found = words.length ? texts.map((t, i) => i).filter(i => words.every(w => texts[i].includes(w))) : [];
  // What is drawn, and what is called so, first.
  const rank = i => (data.ops[i].drawn >= 0 ? 0 : 2) + (data.ops[i].name.toLowerCase().startsWith(words[0]) ? 0 : 1);
  found.sort((a, b) => rank(a) - rank(b) || a - b);
  document.querySelectorAll('g.node').forEach(n => n.classList.toggle('dim', words.length > 0));
  found.forEach(i => nodeOf(i) && nodeOf(i).classList.remove('dim'));
  const matches = byId('matches');
  matches.replaceChildren(...found.slice(0, 50).map((i, position) => {
    const row = element('div', data.ops[i].name, position === 0 ? 'first' : '');
    row.append(element('span', (data.ops[i].op || data.ops[i].collective.kind) + ', ' + data.ops[i].phase));
    row.onmousedown = () => pick(i);
    return row;
  }));
  if (words.length && !found.length) matches.append(element('div', 'nothing of that name'));
  matches.style.display = words.length ? 'block' : 'none';
  return found;
}
function pick(index) {
  byId('matches').style.display = 'none';
  select(index);
}
byId('search').addEventListener('input', search);
byId('search').addEventListener('blur', () => { byId('matches').style.display = 'none'; });
byId('search').addEventListener('keydown', event => {
  if (event.key === 'Enter') {
    const found = search();
    if (found.length) pick(found[0]);
  } else if (event.key === 'Escape') {
    byId('search').value = '';
    search();
  }
});

// The drawing: its own size is in its viewBox. The wheel with Ctrl zooms, the
// mouse moves it.
const svg = document.querySelector('#graph svg');
const pane = byId('graph');
let scale = 1, dragged = false;
function zoom(factor) {
  const x = (pane.scrollLeft + pane.clientWidth / 2) / pane.scrollWidth;
  const y = (pane.scrollTop + pane.clientHeight / 2) / pane.scrollHeight;
  scale = Math.min(4, Math.max(0.05, scale * factor));
  svg.setAttribute('width', svg.viewBox.baseVal.width * scale);
  svg.setAttribute('height', svg.viewBox.baseVal.height * scale);
  pane.scrollTo(x * pane.scrollWidth - pane.clientWidth / 2, y * pane.scrollHeight - pane.clientHeight / 2);
}
const fitting = () => Math.min(pane.clientWidth / svg.viewBox.baseVal.width, pane.clientHeight / svg.viewBox.baseVal.height);
byId('in').onclick = () => zoom(1.25);
byId('out').onclick = () => zoom(0.8);
byId('fit').onclick = () => zoom(fitting() / scale);
pane.addEventListener('wheel', event => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.15 : 0.87);
}, {passive: false});
pane.addEventListener('mousedown', event => {
  let x = event.clientX, y = event.clientY;
  dragged = false;
  const move = e => {
    if (Math.abs(e.clientX - event.clientX) + Math.abs(e.clientY - event.clientY) > 4) dragged = true;
    pane.classList.toggle('dragging', dragged);
    pane.scrollBy(x - e.clientX, y - e.clientY);
    x = e.clientX;
    y = e.clientY;
  };
  const up = () => {
    document.removeEventListener('mousemove', move);
    document.removeEventListener('mouseup', up);
    pane.classList.remove('dragging');
  };
  document.addEventListener('mousemove', move);
  document.addEventListener('mouseup', up);
});

// Charts: rectangles with a text each, that a canvas shows and the mouse finds.
const phases = {data: '#a3adb8', forward: '#5b8fd6', backward: '#ee9a4d', optimizer: '#6fb26a', '': '#d5dae1'};
const phaseNames = {data: 'data', forward: 'forward', backward: 'backward', optimizer: 'optimizer', '': 'all the time'};
document.querySelectorAll('.phases').forEach((legend, i) => {
  for (const phase of Object.keys(phases)) {
    if (phase === '' && i > 0) continue;
    const key = element('span', undefined, 'key'), swatch = element('span', undefined, 'swatch');
    swatch.style.background = phases[phase];
    key.append(swatch, phaseNames[phase]);
    legend.append(key);
  }
});
const family = getComputedStyle(document.body).fontFamily;
function chart(canvas, height, drawn) {
  const ratio = window.devicePixelRatio || 1;
  canvas.style.height = height + 'px';
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  for (const line of drawn.lines) {
    context.fillStyle = line.color || '#e8ecf0';
    context.fillRect(line.x, line.y, line.w, line.h);
  }
  const show = (box, color) => {
    const w = Math.max(box.w, 0.6), h = Math.max(box.h, 0.6);
    context.fillStyle = color;
    context.fillRect(box.x, box.y, w, h);
    if (w > 3 && h > 3) {
      context.strokeStyle = '#fff';
      context.lineWidth = 0.75;
      context.strokeRect(box.x, box.y, w, h);
    }
  };
  for (const box of drawn.boxes) show(box, phases[box.phase] || '#999');
  // What is selected again, on top.
  for (const box of drawn.boxes) {
    if (box.op !== selected || selected < 0) continue;
    context.fillStyle = '#1f6feb';
    context.fillRect(box.x, box.y, Math.max(box.w, 2), Math.max(box.h, 2));
  }
  context.textBaseline = 'middle';
  for (const label of drawn.labels) {
    context.fillStyle = label.color || '#5a6675';
    context.font = (label.bold ? '600 ' : '') + '12px ' + family;
    context.textAlign = label.align || 'left';
    context.fillText(label.text, label.x, label.y);
  }
  // The smallest under the mouse.
  const find = event => {
    const at = canvas.getBoundingClientRect();
    const x = event.clientX - at.left, y = event.clientY - at.top;
    let best = null;
    for (const box of drawn.boxes) {
      const w = Math.max(box.w, 2), h = Math.max(box.h, 2);
      if (x < box.x || x > box.x + w || y < box.y || y > box.y + h) continue;
      if (!best || w * h <= Math.max(best.w, 2) * Math.max(best.h, 2)) best = box;
    }
    return best;
  };
  canvas.onmousemove = event => {
    const box = find(event), tip = byId('tip');
    tip.style.display = box ? 'block' : 'none';
    canvas.style.cursor = box && box.op >= 0 ? 'pointer' : 'default';
    if (!box) return;
    tip.textContent = box.text();
    tip.style.left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8) + 'px';
    tip.style.top = Math.min(event.clientY + 16, window.innerHeight - tip.offsetHeight - 8) + 'px';
  };
  canvas.onmouseleave = () => { byId('tip').style.display = 'none'; };
  canvas.onclick = event => {
    const box = find(event);
    if (box) select(box.op);
  };
}
const left = 128, right = 24;
const timeScale = width => t => left + (Math.max(t, data.begin) - data.begin) / (data.end - data.begin) * (width - left - right);
// Round times, with a line through the chart each.
function timeAxis(width, top, bottom) {
  const x = timeScale(width), span = data.end - data.begin;
  const rough = span / 9, power = 10 ** Math.floor(Math.log10(rough));
  const unit = power * [1, 2, 5, 10].find(m => m * power >= rough);
  const labels = [], lines = [];
  const text = t => unit >= 0.1 ? t.toFixed(1) + ' s' : (t * 1e3).toFixed(unit >= 1e-3 ? 0 : 2) + ' ms';
  for (let t = Math.ceil(data.begin / unit) * unit; t <= data.end; t += unit) {
    lines.push({x: x(t), y: top, w: 1, h: bottom - top});
    labels.push({text: Math.abs(t) < unit / 2 ? '0' : text(t), x: x(t), y: bottom + 12, align: 'center'});
  }
  return {labels, lines};
}
let device = 0;
function drawMemory() {
  const canvas = byId('memory'), memory = data.memory[device];
  const height = 400, top = 16, bottom = height - 28, width = canvas.clientWidth, x = timeScale(width);
  const y = offset => bottom - (bottom - top) * offset / Math.max(1, memory.arena);
  const boxes = memory.blocks.map(([start, end, offset, size, name, kind, op]) => {
    const phase = data.names[kind];
    return {
      x: x(start), w: x(end) - x(start), y: y(offset + size), h: y(offset) - y(offset + size), phase, op,
      text: () => data.names[name] + '\n' + bytes(size) + ' at ' + bytes(offset) +
        (phase === '' ? '\nfor the whole run' : '\n' + seconds(start) + ' to ' + seconds(end)),
    };
  });
  const {labels, lines} = timeAxis(width, top, bottom);
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    const at = y(memory.arena * part);
    labels.push({text: bytes(Math.round(memory.arena * part)), x: left - 12, y: at, align: 'right'});
    lines.push({x: left, y: at, w: width - left - right, h: 1});
  }
  chart(canvas, height, {boxes, labels, lines});
}
function drawTimeline() {
  const canvas = byId('timeline');
  const lane = data.timeline.length > 4 ? 11 : 20, gap = data.timeline.length > 4 ? 10 : 16;
  const width = canvas.clientWidth, x = timeScale(width), boxes = [], labels = [];
  let y = 16;
  for (const lanes of data.timeline) {
    const streams = lanes.streams || data.timeline[lanes.as].streams;
    labels.push({text: lanes.name, x: left - 12, y: y + streams.length * lane / 2, align: 'right', bold: true});
    for (const stream of streams) {
      for (const [start, end, name, kind, op] of stream.tasks) {
        if (end <= data.begin) continue;
        const phase = data.names[kind];
        boxes.push({x: x(start), w: x(end) - x(start), y, h: lane - 2, phase, op,
          text: () => data.names[name] + '\n' + stream.name + ', ' + phase + '\n' + seconds(end - start) + ' from ' +
            seconds(start)});
      }
      y += lane;
    }
    y += gap;
  }
  const axis = timeAxis(width, 10, y);
  chart(canvas, y + 28, {boxes, labels: labels.concat(axis.labels), lines: axis.lines});
}
function drawCharts() {
  drawMemory();
  drawTimeline();
}
data.memory.forEach((memory, i) => {
  const button = element('button', memory.name, i === 0 ? 'on' : '');
  button.onclick = () => {
    device = i;
    byId('devices').querySelectorAll('button').forEach((b, j) => b.classList.toggle('on', j === i));
    drawMemory();
  };
  byId('devices').append(button);
});
window.addEventListener('resize', drawCharts);
// Legible at first, whole if it can be.
document.querySelectorAll('#graph text').forEach(t => { t.textContent = arrows(t.textContent); });
// Fonts here are not those that the lines were centred with.
const middles = [...document.querySelectorAll('#graph g.node[id^=op]')].map(node => {
  const shape = node.querySelector('path, polygon').getBBox();
  return [node, shape.x + shape.width / 2];
});
for (const [node, middle] of middles) {
  node.querySelectorAll('text').forEach(t => {
    t.setAttribute('text-anchor', 'middle');
    t.setAttribute('x', middle);
  });
}
zoom(Math.max(fitting(), 1));
pane.scrollTo(0, 0);
// At first: the operator of the head with the largest parameter, which is what
// the placement turns on.
const largest = op => Math.max(0, ...op.reads.filter(r => r.variable).map(r => r.bytes));
const heads = data.ops.map((op, i) => i).filter(i => data.ops[i].part === 'head' && data.ops[i].drawn >= 0);
select(heads.length ? heads.reduce((a, b) => largest(data.ops[b]) > largest(data.ops[a]) ? b : a) : 0);
document.documentElement.dataset.ready = 'yes';
