'use strict';
// Asks the program and draws what it answers: nothing is computed here but places in pictures.
const $ = id => document.getElementById(id), SVG = 'http://www.w3.org/2000/svg';
const show = (v, digits = 6) => v === null || v === undefined ? 'none' : Number(v).toPrecision(digits).replace(/(\.\d*?)0+(e|$)/, '$1$2').replace(/\.(e|$)/, '$1');
const make = (tag, attributes, ...children) => { const e = document.createElementNS(SVG, tag); for (const k in attributes) e.setAttribute(k, attributes[k]); e.append(...children); return e; };
const element = (tag, properties, ...children) => { const e = Object.assign(document.createElement(tag), properties); e.append(...children); return e; };
// A text that is the same stays as it is, so that a screen reader does not read it again.
const say = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
const entered = id => $(id).value === '' ? null : Number($(id).value);

// One question at a time for each kind; the newest waits its turn.
const asking = {}, waiting = {};
async function ask(kind, question, then) {
  if (asking[kind]) { waiting[kind] = [question, then]; return; }
  asking[kind] = true;
  let v = null;
  try {
    v = await (await fetch('/api/' + kind, { method: 'POST', body: JSON.stringify(question) })).json();
  } catch (e) { say('trouble', 'The program does not answer: is it still running?'); }
  asking[kind] = false;
  if (waiting[kind]) { const [q, t] = waiting[kind]; delete waiting[kind]; ask(kind, q, t); }
  if (!v) return;
  blame(kind, v);
  if (!v.error) { mark(kind, v.exercises); then(v); document.body.dataset[kind] = JSON.stringify(question); }
}

// What was refused stands beside its field, until the field is mended.
function fieldOf(kind, field) {
  if (kind === 'descent' && ['a', 'b', 'lr'].includes(field)) return [$('d-' + field + '-number'), 'd-' + field + '-error'];
  if (kind === 'filter' && field === 'divisor') return [$('f-divisor'), 'f-divisor-error'];
  const weight = kind === 'filter' && /^weight ([1-9])$/.exec(field ?? '');
  return weight ? [cells[weight[1] - 1], 'kernel-error'] : [null, 'trouble'];
}
function blame(kind, { error, field }) {
  const section = document.querySelector(`.tasks[data-kind=${kind}]`).closest('section');
  const [input, message] = error ? fieldOf(kind, field) : [];
  section.classList.toggle('stale', Boolean(error));
  for (const e of section.querySelectorAll('[aria-invalid]')) if (e !== input) { e.removeAttribute('aria-invalid'); e.removeAttribute('aria-describedby'); }
  for (const e of [$('trouble'), ...section.querySelectorAll('.error')]) say(e.id, e.id === message ? error : '');
  if (input) { input.setAttribute('aria-invalid', 'true'); input.setAttribute('aria-describedby', message); }
}

// The exercises: the library says which are solved, and what was solved stays marked.
function mark(kind, exercises) {
  const place = document.querySelector(`.tasks[data-kind=${kind}]`);
  if (!place.children.length) {
    const task = e => {
      const li = element('li', {}, e.task, ' ', element('span', { className: 'mark good' }),
        element('details', {}, element('summary', { textContent: 'Hint', ariaLabel: 'Hint: ' + e.task }), element('p', { textContent: e.hint })));
      li.dataset.exercise = e.name; li.dataset.solved = 'no';
      return li;
    };
    const status = element('p', { className: 'unseen', id: kind + '-solved' });
    status.setAttribute('role', 'status');
    place.append(element('h3', { textContent: 'Exercises' }), element('ol', {}, ...exercises.map(task)), status);
  }
  for (const e of exercises) {
    const li = place.querySelector(`[data-exercise=${e.name}]`), before = li.dataset.solved;
    const now = e.solved ? 'now' : before === 'no' ? 'no' : 'before';
    if (now === before) continue;
    li.dataset.solved = now;
    li.querySelector('.mark').textContent = { now: '✓ solved', before: '✓ solved before' }[now];
    if (now === 'now') say(kind + '-solved', 'Solved: ' + e.task);
  }
}

// Pictures: arrows, and axes whose ticks are 1, 2 or 5 times a power of ten apart.
function arrow([x1, y1], [x2, y2], attributes) {
  const n = Math.hypot(x2 - x1, y2 - y1), [u, v] = [(x2 - x1) / n, (y2 - y1) / n], corner = (back, side) => [x2 - back * u - side * v, y2 - back * v + side * u];
  const [bx, by] = corner(10, 0);
  return make('g', { class: 'arrow', ...attributes }, make('line', { x1, y1, x2: bx, y2: by }),
    make('polygon', { points: [[x2, y2], corner(12, 6), corner(12, -6)].map(p => p.join()).join(' '), 'stroke-width': 0 }));
}
function ticks(low, high, least = 0) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough)), step = Math.max(least, power * [1, 2, 5, 10].find(k => k * power >= rough * .999));
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}
const FRAME = { left: 46, top: 8, width: 346, height: 258 };
// The frame's content is drawn by `inside`, which is given where a point lies; what is beyond the frame is cut off.
function plot(id, [x0, x1], [y0, y1], names, xs, ys, label, inside) {
  const { left, top, width, height } = FRAME, at = (x, y) => [(x - x0) / (x1 - x0) * width, (y1 - y) / (y1 - y0) * height];
  const text = (words, x, y, anchor) => make('text', { x, y, 'text-anchor': anchor }, words);
  const nodes = [];
  for (const x of xs) { const p = left + at(x, y0)[0]; nodes.push(make('line', { x1: p, x2: p, y1: top, y2: top + height, class: 'grid' }), text(show(x, 4), p, top + height + 15, 'middle')); }
  for (const y of ys) { const p = top + at(x0, y)[1]; nodes.push(make('line', { x1: left, x2: left + width, y1: p, y2: p, class: 'grid' }), text(label(y), left - 4, p + 4, 'end')); }
  nodes.push(text(names[0], left + width, 296, 'end'), text(names[1], 4, top + 10, 'start'));
  $(id).replaceChildren(...nodes, make('rect', { x: left, y: top, width, height, fill: 'none', class: 'grid' }), make('svg', { x: left, y: top, width, height, style: `height: ${height}px` }, ...inside(at)));
}
const line = (points, attributes) => make('polyline', { points: points.map(p => p.join()).join(' '), fill: 'none', ...attributes });

// Boxes, in units of the plane; 40 pixels a unit. They lie on a grid of eighths: sums of these are exact, so that edges can meet.
const UNIT = 40, STEP = 1 / 8, LEAST = 1 / 2, boxes = { a: [1, 1, 5, 4], b: [3.5, 2, 8.5, 7] };
for (let i = 0; i <= 10; i++) {
  const p = i * UNIT, label = (x, y, anchor) => i % 2 ? '' : make('text', { x, y, 'text-anchor': anchor }, String(i));
  $('gridlines').append(make('line', { x1: p, x2: p, y1: 0, y2: 400, class: 'grid' }), make('line', { y1: p, y2: p, x1: 0, x2: 400, class: 'grid' }), label(p, -6, 'middle'), label(-5, p + 4, 'end'));
}
const within = (low, v, high) => Math.min(high, Math.max(low, Math.round(v / STEP) * STEP));
function move(name, dx, dy) {
  const [x1, y1, x2, y2] = boxes[name], w = x2 - x1, h = y2 - y1, x = within(0, x1 + dx, 10 - w), y = within(0, y1 + dy, 10 - h);
  boxes[name] = [x, y, x + w, y + h];
  drawBoxes(name);
}
function resize(name, dx, dy) {
  const [x1, y1, x2, y2] = boxes[name];
  boxes[name] = [x1, y1, within(Math.min(10, x1 + LEAST), x2 + dx, 10), within(Math.min(10, y1 + LEAST), y2 + dy, 10)];
  drawBoxes(name);
}
// The smaller box is painted last, so that it can be grabbed where the other lies under it. The box in hand keeps its
// place in the document, and the other one changes it: an element that is moved there is let go.
function stack(held) {
  const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1), other = held === 'a' ? 'b' : 'a', more = area(boxes[held]) - area(boxes[other]);
  if (more > 0) $(held).after($(other));
  if (more < 0) $(held).before($(other));
}
function drawBoxes(held) {
  stack(held);
  for (const n of ['a', 'b']) {
    const [x1, y1, x2, y2] = boxes[n], text = boxes[n].map(v => show(v, 4)).join(', ');
    for (const [k, v] of [['x', x1], ['y', y1], ['width', x2 - x1], ['height', y2 - y1]]) $(n).setAttribute(k, v * UNIT);
    $(n + '-handle').setAttribute('cx', x2 * UNIT); $(n + '-handle').setAttribute('cy', y2 * UNIT);
    $(n + '-name').setAttribute('x', n === 'a' ? x1 * UNIT + 6 : x2 * UNIT - 6); $(n + '-name').setAttribute('y', y1 * UNIT + 16);
    say(n + '-box', '[' + text + ']');
    for (const [id, v] of [[n, x1], [n + '-handle', x2]]) { $(id).setAttribute('aria-valuenow', v); $(id).setAttribute('aria-valuetext', text); }
  }
  ask('iou', { a: boxes.a, b: boxes.b }, drawOverlap);
}
function drawOverlap(v) {
  $('metrics').replaceChildren(...v.metrics.map(m => {
    const row = element('tr', {}, ...[m.metric.toUpperCase().replace('IOU', 'IoU'), show(m.value), ...m.a.map(d => show(d, 4))].map((text, i) => element(i ? 'td' : 'th', { textContent: text })));
    row.dataset.metric = m.metric; row.dataset.value = m.value; row.dataset.gradient = JSON.stringify(m.a);
    return row;
  }));
  const said = { Overlapping: 'The boxes overlap.', TouchingEdge: 'The boxes touch along an edge: the plateau begins here, with a kink.',
    TouchingCorner: 'The boxes share no area; the gradient of IoU is 0.', Disjoint: 'The boxes are apart: IoU is 0 all around and its gradient exactly 0, a plateau. The other three still say where to go.' };
  say('relation', [said[v.relation], ...v.kinks.map(k => `Kink of IoU: ${k.coordinate} of a meets ${k.meets} of b; the one-sided derivatives differ by ${show(k.jump, 4)}.`)].join(' '));
  const [x1, y1, x2, y2] = boxes.a, centre = [(x1 + x2) / 2 * UNIT, (y1 + y2) / 2 * UNIT], n = Math.hypot(...v.push.by);
  // 300 pixels for a slope of 1, but neither too short to be seen nor longer than three units.
  const length = Math.min(3 * UNIT, Math.max(30, 300 * n));
  $('push').replaceChildren(...n > 0 ? [arrow(centre, centre.map((c, i) => c + length * v.push.by[i] / n), {})] : []);
  say('push-note', n > 0 ? `${v.push.says} The slope is ${v.push.by.map(d => show(d, 3)).join(' to the right and ')} down.` : 'No arrow: ' + v.push.says);
}
let dragged = null;
for (const n of ['a', 'b']) for (const [id, act] of [[n, move], [n + '-handle', resize]]) {
  $(id).addEventListener('pointerdown', e => { e.preventDefault(); $(id).focus(); $(id).setPointerCapture(e.pointerId); dragged = { id, from: boxes[n].slice(), x: e.clientX, y: e.clientY }; });
  $(id).addEventListener('pointermove', e => {
    if (dragged?.id !== id || !$(id).hasPointerCapture(e.pointerId)) return;
    const scale = $('plane').viewBox.baseVal.width / UNIT / $('plane').getBoundingClientRect().width;
    boxes[n] = dragged.from.slice();
    act(n, (e.clientX - dragged.x) * scale, (e.clientY - dragged.y) * scale);
  });
  for (const end of ['pointerup', 'pointercancel']) $(id).addEventListener(end, () => { dragged = null; });
  $(id).addEventListener('keydown', e => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key], step = e.shiftKey ? STEP : 4 * STEP;
    if (by) { e.preventDefault(); act(n, by[0] * step, by[1] * step); }
  });
}

// Descent: each number has a slider and a field, and the field's is what is asked.
const START = [1.2, 1];
function descend() {
  ask('descent', { a: entered('d-a-number'), b: entered('d-b-number'), lr: entered('d-lr-number'), start: START, optimizer: $('d-optimizer').value }, v => {
    say('verdict', v.verdict); $('verdict').className = 'verdict ' + (v.verdict === 'converges' ? 'good' : v.verdict === 'observed' ? '' : 'bad');
    say('reason', v.reason);
    // What rounding left of 0 is 0.
    const part = x => show(Math.abs(x) < 1e-12 ? 0 : x, 4);
    const root = ([r, s]) => r.im ? `${part(r.re)} ± ${part(r.im)}i, of modulus ${part(r.modulus)}` : `${part(r.re)} and ${part(s.re)}`;
    const sum = v.limit && `${show(v.limit.over, 4)} / max(a, b)`;
    const facts = {
      factors: v.factors && `A step multiplies w1 by ${part(v.factors[0])}, w2 by ${part(v.factors[1])}.`,
      roots: v.roots && `Eigenvalues of a step along w1: ${root(v.roots[0])}; along w2: ${root(v.roots[1])}. All must be smaller than 1 in modulus.`,
      limit: v.limit ? `It converges from every start exactly for 0 < rate < ${show(v.limit.rate, 5)} = ${sum}.`
        : v.limit === null ? 'No rate converges from every start: a curvature is not positive.' : 'Of Adam neither limit nor best rate is proven: this is what 80 steps did.',
      best: v.best && `The best rate is ${show(v.best, 5)} = 2 / (a + b).`,
      needed: v.limit !== undefined && `Steps until the error is a millionth: ${v.steps_needed ?? 'never'}.`,
    };
    $('facts').replaceChildren(...Object.entries(facts).filter(([, text]) => text).map(([name, text]) => { const li = element('li', { textContent: text }); li.dataset.fact = name; return li; }));
    $('gd-only').hidden = !v.factors;
    for (const [id, lr] of [['d-bound', v.limit?.rate], ['d-best', v.best]]) { $(id).dataset.lr = lr ?? ''; $(id).disabled = !lr; }
    drawPath(v); drawLosses(v.losses);
  });
}
const finite = w => w.every(x => x !== null);
function drawPath({ path, verdict }) {
  // The view takes in the whole path; of one that diverges only what stays within five times the usual view.
  const reach = w => Math.max(Math.abs(w[0]) / 2, Math.abs(w[1]) / (2 * FRAME.height / FRAME.width)), stays = path.filter(w => finite(w) && (verdict !== 'diverges' || reach(w) <= 5));
  const scale = Math.max(1, 1.08 * Math.max(...stays.map(reach))), X = 2 * scale, Y = X * FRAME.height / FRAME.width;
  const out = path.findIndex(w => !finite(w) || reach(w) > scale), seen = out < 0 ? path : path.slice(0, out);
  const [a, b] = [entered('d-a-number'), entered('d-b-number')], bowl = a > 0 && b > 0;
  plot('path', [-X, X], [-Y, Y], ['w1', 'w2'], ticks(-X, X), ticks(-Y, Y), y => show(y, 4), at => {
    const points = seen.map(w => at(...w)), [cx, cy] = at(0, 0), unit = FRAME.width / 2 / X, nodes = [];
    if (bowl) for (let k = 1; k <= 6; k++) {
      const root = scale * Math.sqrt(a * START[0] ** 2 + b * START[1] ** 2) * k / 5;
      nodes.push(make('ellipse', { cx, cy, rx: unit * root / Math.sqrt(a), ry: unit * root / Math.sqrt(b), fill: 'none', stroke: 'var(--line)' }));
    }
    nodes.push(line(points, { stroke: 'var(--a)', 'stroke-width': 2 }), ...points.map(p => make('circle', { cx: p[0], cy: p[1], r: 3, fill: 'var(--b)' })));
    if (out > 0 && finite(path[out])) {
      const from = path[out - 1], to = path[out], part = Math.min(...[X, Y].map((most, i) => (Math.sign(to[i] - from[i]) * most - from[i]) / (to[i] - from[i])).filter(t => t >= 0));
      nodes.push(arrow(at(...from), at(...from.map((f, i) => f + part * (to[i] - f))), { style: 'stroke: var(--a); fill: var(--a)' }));
    }
    return nodes;
  });
  const place = w => `(${w.map(x => show(x, 3)).join(', ')})`, last = path[path.length - 1];
  const end = out < 0 ? `After ${path.length - 1} steps it is at ${place(last)}.` : `It leaves the picture with step ${out}, to ${place(path[out])}, and after ${path.length - 1} steps ${finite(last) ? 'is at ' + place(last) : 'no number can hold it'}.`;
  say('path-note', `The path from ${place(START)} in the plane of w1 and w2${bowl ? ', over contours of the loss' : ''}. ${end}`);
}
const power = k => k === 0 ? '1' : '10' + [...String(k)].map(c => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)]).join('');
function drawLosses(losses) {
  const known = losses.map((l, t) => [t, l]).filter(p => p[1] !== null), logarithmic = known.every(p => p[1] >= 0);
  // A loss below 0 has no logarithm; of one above, what falls by more than 16 powers of ten is not drawn.
  const points = logarithmic ? known.filter(p => p[1] > 0).map(([t, l]) => [t, Math.log10(l)]) : known, values = points.map(p => p[1]);
  let [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  if (logarithmic) { low = Math.floor(Math.max(low, (values[0] ?? 0) - 16)); high = Math.max(Math.ceil(high), low + 1); }
  const steps = losses.length - 1;
  plot('losses', [0, steps], [low, high], ['step', 'loss'], ticks(0, steps), ticks(low, high, logarithmic ? 1 : 0), y => logarithmic ? power(y) : show(y, 3),
    at => [line(points.map(p => at(...p)), { stroke: 'var(--a)', 'stroke-width': 2.5 }), ...points.slice(0, 1).map(p => make('circle', { cx: at(...p)[0], cy: at(...p)[1], r: 4, fill: 'var(--a)' }))]);
  const zero = losses.indexOf(0), endless = losses.indexOf(null);
  say('losses-note', [`The loss by step, on a ${logarithmic ? 'logarithmic' : 'linear'} scale, from ${show(losses[0], 4)}` + (endless < 0 ? ` to ${show(losses[steps], 4)}.` : '.'),
    logarithmic ? '' : 'It is below 0, where there is no logarithm.', zero < 0 ? '' : `With step ${zero} it is 0, which no logarithm shows.`, endless < 0 ? '' : `From step ${endless} on it is too large for a number.`].filter(Boolean).join(' '));
}
for (const id of ['d-a', 'd-b', 'd-lr']) for (const [from, to] of [[id, id + '-number'], [id + '-number', id]]) $(from).addEventListener('input', () => { if ($(from).value !== '') $(to).value = $(from).value; descend(); });
$('d-optimizer').addEventListener('input', descend);
for (const id of ['d-bound', 'd-best']) $(id).addEventListener('click', () => { $('d-lr-number').value = $('d-lr').value = $(id).dataset.lr; descend(); });

// Filters.
const cells = Array.from({ length: 9 }, (_, i) => { const c = element('input', { type: 'number', step: 1, value: 0, ariaLabel: `weight ${i + 1}: row ${Math.floor(i / 3) + 1}, column ${i % 3 + 1}` }); $('kernel').append(c); return c; });
function filtered(question) {
  ask('filter', question, v => {
    // What was written meanwhile is not overwritten.
    if ('name' in question && v.weights && !asking.filter) { v.weights.flat().forEach((w, i) => { cells[i].value = w; }); $('f-divisor').value = v.divisor; }
    for (const id of ['before', 'after']) $(id).src = 'data:image/png;base64,' + v[id];
    $('response').hidden = !v.response; if (v.response) $('response').src = 'data:image/png;base64,' + v.response;
    say('response-note', v.response ? 'Which frequencies pass: the middle is flat areas, an edge the finest stripes.' : 'Not linear: it has no frequency response.');
    say('gain', show(v.gain)); say('noise', show(v.noise)); say('range', show(v.min, 5) + ' to ' + show(v.max, 5)); say('why', v.why);
  });
}
function edited() {
  const weights = [0, 3, 6].map(r => cells.slice(r, r + 3).map(c => c.value === '' ? null : Number(c.value)));
  $('f-name').value = '';
  filtered({ weights, divisor: entered('f-divisor') });
}
for (const c of [...cells, $('f-divisor')]) c.addEventListener('input', edited);
$('f-name').addEventListener('input', () => $('f-name').value ? filtered({ name: $('f-name').value }) : edited());
$('f-name').value = 'sobel-x';

drawBoxes('a'); descend(); filtered({ name: 'sobel-x' });
