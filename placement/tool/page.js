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
  return a >= 1 ? t.toFixed(3) + ' s' : a >= 1e-3 ? (t * 1e3).toFixed(3) + ' ms' : (t * 1e6).toFixed(1) + ' us';
}
const more = t => (t >= 0 ? '+' : '') + seconds(t);

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
function list(title, lines) {
  if (!lines || !lines.length) return [];
  const ul = element('ul');
  lines.forEach(line => ul.append(element('li', line)));
  return [element('h3', title), ul];
}

// The panel: what an operator is, and why it is placed so.
function explain(op) {
  const chosen = op.signatures[0];
  const step = s => s.step === null ? 'impossible' : s.chosen ? seconds(s.step) : more(s.step - chosen.step);
  return [element('h3', 'Its alternatives: the step with the best of everything else; own compute; communication with ' +
    'its neighbours as they are'),
  table([['signature'], ['step', 1], ['compute', 1], ['communication', 1], ['why not']], op.signatures.map(s => ({
    className: s.chosen ? 'chosen' : s.step === null ? 'impossible' : '',
    cells: [s.signature, step(s), seconds(s.compute),
      s.communication === null ? 'impossible' : seconds(s.communication), s.why],
  })))];
}
function showOp(index) {
  const op = data.ops[index];
  const panel = byId('panel');
  panel.replaceChildren(element('h2', op.name));
  const times = op.times > 1 ? ', ' + op.times + ' times' : '';
  panel.append(element('div', (op.collective ? op.collective.kind : op.op) + ' in layer ' + op.layer + ' (' + op.part +
    ', ' + op.phase + ')' + times + ', predicted ' + seconds(op.seconds), 'facts'));
  const tensor = t => t.tensor + ': ' + t.type + ' ' + t.sbp + ', ' + bytes(t.bytes) + ' a device';
  panel.append(...list('Makes', op.outputs.map(tensor)), ...list('Reads', op.reads.map(tensor)));
  if (op.collective) {
    const c = op.collective;
    panel.append(element('div', c.transition + ' among ' + c.ranks + ' devices: each sends ' + bytes(c.bytes)));
  }
  if (op.signatures) panel.append(...explain(op));
  if (!op.collective && !op.signatures) panel.append(element('p', data.no_alternatives, 'facts'));
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
function select(index) {
  document.querySelectorAll('g.node.selected').forEach(n => n.classList.remove('selected'));
  const node = nodeOf(index);
  if (node) {
    node.classList.add('selected');
    node.scrollIntoView({block: 'center', inline: 'center'});
  }
  showOp(index);
}
data.ops.forEach((op, i) => {
  const node = nodeOf(i);
  if (node) node.addEventListener('click', () => select(i));
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
    const row = element('div', data.ops[i].name + '  ' + (data.ops[i].op || 'collective') + ', ' + data.ops[i].phase,
      position === 0 ? 'first' : '');
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
byId('search').addEventListener('keydown', event => {
  if (event.key === 'Enter') {
    const found = search();
    if (found.length) pick(found[0]);
  } else if (event.key === 'Escape') {
    byId('search').value = '';
    search();
  }
});

// Zoom: the drawing's own size is in its viewBox.
const svg = document.querySelector('#graph svg');
let scale = 1;
function zoom(factor) {
  if (!svg) return;
  scale = Math.min(4, Math.max(0.05, scale * factor));
  svg.setAttribute('width', svg.viewBox.baseVal.width * scale);
  svg.setAttribute('height', svg.viewBox.baseVal.height * scale);
}
zoom(1);
byId('in').onclick = () => zoom(1.25);
byId('out').onclick = () => zoom(0.8);
byId('fit').onclick = () => zoom(byId('graph').clientWidth / (svg.viewBox.baseVal.width * scale));

// Charts: rectangles with a text each, that a canvas shows and the mouse finds.
const phaseColors = {data: '#9aa5b1', forward: '#5b9bd5', backward: '#e8923c', optimizer: '#70a84f', '': '#cfd5dd'};
function chart(canvas, height, rows) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = height + 'px';
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext('2d');
  context.scale(ratio, ratio);
  context.clearRect(0, 0, width, height);
  for (const r of rows.boxes) {
    const w = Math.max(r.w, 0.6), h = Math.max(r.h, 0.6);
    context.fillStyle = r.color;
    context.fillRect(r.x, r.y, w, h);
    if (w > 3 && h > 3) {
      context.strokeStyle = '#fff';
      context.lineWidth = 0.5;
      context.strokeRect(r.x, r.y, w, h);
    }
  }
  context.fillStyle = '#1d2530';
  context.font = '11px Helvetica, Arial, sans-serif';
  for (const l of rows.labels) context.fillText(l.text, l.x, l.y);
  canvas.boxes = rows.boxes;
  canvas.onmousemove = event => {
    const at = canvas.getBoundingClientRect();
    const x = event.clientX - at.left, y = event.clientY - at.top;
    // The smallest under the mouse.
    let best = null;
    for (const r of rows.boxes) {
      const w = Math.max(r.w, 2), h = Math.max(r.h, 2);
      if (x < r.x || x > r.x + w || y < r.y || y > r.y + h) continue;
      if (!best || w * h <= Math.max(best.w, 2) * Math.max(best.h, 2)) best = r;
    }
    const tip = byId('tip');
    tip.style.display = best ? 'block' : 'none';
    if (!best) return;
    tip.textContent = best.text;
    tip.style.left = Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8) + 'px';
    tip.style.top = event.clientY + 14 + 'px';
  };
  canvas.onmouseleave = () => { byId('tip').style.display = 'none'; };
}
const left = 110;
function timeScale(width) {
  const begin = data.begin, end = data.end;
  return t => left + (t - begin) / (end - begin) * (width - left - 8);
}
function timeLabels(width, y) {
  const x = timeScale(width);
  const labels = [];
  for (let i = 0; i <= 8; ++i) {
    const t = data.begin + (data.end - data.begin) * i / 8;
    labels.push({text: seconds(t), x: Math.min(x(t), width - 60), y});
  }
  return labels;
}
function drawMemory() {
  const canvas = byId('memory');
  const device = data.memory[byId('device').value];
  const height = 380, width = canvas.clientWidth, x = timeScale(width);
  const y = offset => 8 + (height - 30) * (1 - offset / Math.max(1, device.arena));
  const boxes = device.blocks.map(([start, end, offset, size, name, phase]) => ({
    x: x(start), w: x(end) - x(start), y: y(offset + size), h: y(offset) - y(offset + size),
    color: phaseColors[phase] || '#cfd5dd',
    text: name + '\n' + bytes(size) + ' at ' + bytes(offset) +
      (phase === '' ? '\nfor the whole run' : '\n' + seconds(start) + ' to ' + seconds(end)),
  }));
  const labels = timeLabels(width, height - 6);
  for (const part of [0, 0.25, 0.5, 0.75, 1]) labels.push({text: bytes(Math.round(device.arena * part)), x: 4, y: y(device.arena * part) + 4});
  labels.push({text: 'persistent: ' + bytes(device.persistent), x: 4, y: y(device.persistent) + (device.persistent > device.arena / 2 ? 18 : -6)});
  chart(canvas, height, {boxes, labels});
}
function drawTimeline() {
  const canvas = byId('timeline');
  const width = canvas.clientWidth, x = timeScale(width), lane = 20;
  const boxes = [], labels = [];
  let top = 8;
  for (const device of data.timeline) {
    for (const stream of device.streams) {
      labels.push({text: device.name + ' ' + stream.name.slice(0, 9), x: 4, y: top + 13});
      for (const [start, end, name, phase] of stream.tasks) {
        boxes.push({x: x(start), w: x(end) - x(start), y: top, h: lane - 4, color: phaseColors[phase] || '#999',
          text: name + ' (' + phase + ')\n' + seconds(end - start) + ' from ' + seconds(start)});
      }
      top += lane;
    }
    top += 6;
  }
  chart(canvas, top + 18, {boxes, labels: labels.concat(timeLabels(width, top + 12))});
}
data.memory.forEach((device, i) => {
  const option = element('option', device.name);
  option.value = i;
  byId('device').append(option);
});
byId('device').onchange = drawMemory;
function drawCharts() {
  drawMemory();
  drawTimeline();
}
window.addEventListener('resize', drawCharts);
drawCharts();
const first = data.ops.findIndex(op => op.part === 'head' && op.drawn >= 0 && !op.collective);
showOp(Math.max(0, first));
document.documentElement.dataset.ready = 'yes';
