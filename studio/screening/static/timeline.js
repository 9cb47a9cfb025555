// Waveforms, words and phones under the picture; drag a phone's boundary, or anywhere to seek.
const CLOSED = new Set(["P", "B", "M", "p", "b", "m"]);
const LANES = { ruler: [0, 22], original: [26, 56], take: [86, 86], words: [178, 28], phones: [210, 32] };
const SHORTEST = 0.01; // seconds
const GRIP = 6; // pixels

export class Timeline {
  constructor(canvas, { onSeek, onMoved }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.onSeek = onSeek;
    this.onMoved = onMoved;
    this.state = { duration: 1, cueIn: 0, cueOut: null, offset: 0, original: null, take: null, phones: [], words: [], editable: false, label: () => "" };
    this.view = [0, 1];
    this.time = 0;
    const style = getComputedStyle(document.documentElement);
    this.colour = (name) => style.getPropertyValue(`--${name}`).trim();
    canvas.addEventListener("pointerdown", (e) => this.#down(e));
    canvas.addEventListener("pointermove", (e) => this.#hover(e));
    canvas.addEventListener("wheel", (e) => this.#wheel(e), { passive: false });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  set(changes) {
    const longer = changes.duration !== undefined && changes.duration !== this.state.duration;
    Object.assign(this.state, changes);
    if (longer) this.view = [0, this.state.duration];
    this.draw();
  }

  zoom(factor) {
    const [a, b] = this.view;
    const span = Math.min(this.state.duration, Math.max(0.15, (b - a) * factor));
    const middle = this.time >= a && this.time <= b ? this.time : (a + b) / 2;
    this.#look(middle - span * ((middle - a) / (b - a)), span);
  }

  at(time) {
    this.time = time;
    const [a, b] = this.view;
    const whole = b - a >= this.state.duration - 1e-6;
    if (!whole && (time < a || time > b)) this.#look(time - (b - a) * 0.1, b - a);
    else this.draw();
  }

  #look(start, span) {
    const first = Math.min(Math.max(0, start), Math.max(0, this.state.duration - span));
    this.view = [first, first + span];
    this.draw();
  }

  #x(time) { const [a, b] = this.view; return ((time - a) / (b - a)) * this.canvas.clientWidth; }
  #t(x) { const [a, b] = this.view; return a + (x / this.canvas.clientWidth) * (b - a); }

  draw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.#paint(); });
  }

  #paint() {
    const { canvas, context: c, state } = this;
    const scale = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    c.setTransform(scale, 0, 0, scale, 0, 0);
    c.clearRect(0, 0, width, height);
    this.#cue(c, width, height);
    this.#ruler(c, width);
    this.#wave(c, LANES.original, state.original, 0, this.colour("faint"));
    this.#wave(c, LANES.take, state.take, state.offset, this.colour("accent"));
    this.#spans(c, LANES.words, state.words, false);
    this.#spans(c, LANES.phones, state.phones, true);
    const x = this.#x(this.time);
    c.fillStyle = this.colour("text");
    c.fillRect(Math.round(x) - 0.5, 0, 1.5, height);
  }

  #cue(c, width, height) {
    const { cueIn, cueOut } = this.state;
    if (cueOut === null) return;
    const a = this.#x(cueIn), b = this.#x(cueOut);
    c.fillStyle = "#ffffff06";
    c.fillRect(a, 0, b - a, height);
    c.fillStyle = this.colour("line");
    c.fillRect(a, 0, 1, height);
    c.fillRect(b, 0, 1, height);
  }

  #ruler(c, width) {
    const [a, b] = this.view;
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];
    const step = steps.find((s) => (s / (b - a)) * width > 90) ?? 120;
    c.font = `11px ${this.colour("mono")}`;
    c.textBaseline = "middle";
    c.textAlign = "left";
    for (let t = Math.ceil(a / step) * step; t <= b; t += step) {
      const x = this.#x(t);
      c.fillStyle = this.colour("line");
      c.fillRect(x, 0, 1, 6);
      c.fillStyle = this.colour("faint");
      c.fillText(this.state.label(t), x + 4, 10);
    }
  }

  #wave(c, [top, tall], outline, offset, colour) {
    const middle = top + tall / 2;
    c.fillStyle = this.colour("line-soft");
    c.fillRect(0, middle, this.canvas.clientWidth, 1);
    if (!outline) return;
    const { high, low, perSecond } = outline;
    let peak = 1;
    for (const value of high) peak = Math.max(peak, value);
    for (const value of low) peak = Math.max(peak, -value);
    const gain = (tall / 2 - 2) / peak;
    c.fillStyle = colour;
    for (let x = 0; x < this.canvas.clientWidth; x++) {
      const from = Math.floor((this.#t(x) - offset) * perSecond);
      const to = Math.max(from + 3, Math.floor((this.#t(x + 1) - offset) * perSecond));
      if (to <= 0 || from >= high.length) continue;
      let up = -127, down = 127;
      for (let i = Math.max(0, from); i < Math.min(to, high.length); i++) {
        up = Math.max(up, high[i]);
        down = Math.min(down, low[i]);
      }
      const y = middle - up * gain;
      c.fillRect(x, y, 1, Math.max(1, (up - down) * gain));
    }
  }

  #spans(c, [top, tall], spans, phones) {
    const { offset } = this.state;
    c.textBaseline = "middle";
    c.textAlign = "center";
    c.font = phones ? `12px ${this.colour("mono")}` : `13px ${this.colour("sans")}`;
    for (const [label, start, end] of spans) {
      const a = this.#x(start + offset), b = this.#x(end + offset);
      if (b < 0 || a > this.canvas.clientWidth) continue;
      const now = this.time >= start + offset && this.time < end + offset;
      const shut = phones && CLOSED.has(label);
      c.fillStyle = now ? this.colour("accent") : shut ? "#34465a" : this.colour("raised");
      c.fillRect(a + 0.5, top, Math.max(1, b - a - 1), tall);
      if (c.measureText(label).width < b - a - 3) {
        c.fillStyle = now ? "#1a1409" : phones ? (shut ? "#b9d2e8" : this.colour("quiet")) : this.colour("text");
        c.fillText(label, (a + b) / 2, top + tall / 2 + 1);
      }
    }
  }

  // --- the pointer

  #edge(x, y) {
    const [top, tall] = LANES.phones;
    const { phones, offset, editable } = this.state;
    if (!editable || y < top || y > top + tall) return null;
    let best = null, near = GRIP;
    phones.forEach(([, start, end], i) => {
      for (const [side, t] of [[1, start], [2, end]]) {
        const far = Math.abs(this.#x(t + offset) - x);
        if (far < near) { near = far; best = [i, side]; }
      }
    });
    return best;
  }

  #move([i, side], time) {
    const phones = this.state.phones;
    const joint = side === 2 ? i + 1 : i - 1; // the neighbour that shares this boundary
    const other = phones[joint];
    const shared = other && Math.abs(other[side === 2 ? 1 : 2] - phones[i][side]) < 1e-3;
    let low, high;
    if (side === 2) {
      low = phones[i][1] + SHORTEST;
      high = shared ? other[2] - SHORTEST : other ? other[1] : this.state.takeDuration ?? Infinity;
    } else {
      low = shared ? other[1] + SHORTEST : other ? other[2] : 0;
      high = phones[i][2] - SHORTEST;
    }
    const to = Math.min(Math.max(time, low), high);
    phones[i][side] = to;
    if (shared) other[side === 2 ? 1 : 2] = to;
    this.draw();
  }

  #down(event) {
    const box = this.canvas.getBoundingClientRect();
    const at = (e) => [e.clientX - box.left, e.clientY - box.top];
    const [x, y] = at(event);
    const edge = this.#edge(x, y);
    this.canvas.setPointerCapture(event.pointerId);
    const move = (e) => edge ? this.#move(edge, this.#t(at(e)[0]) - this.state.offset) : this.onSeek(this.#t(at(e)[0]));
    const up = () => {
      this.canvas.removeEventListener("pointermove", move);
      if (edge) this.onMoved();
    };
    if (!edge) move(event);
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerup", up, { once: true });
  }

  #hover(event) {
    const box = this.canvas.getBoundingClientRect();
    const over = this.#edge(event.clientX - box.left, event.clientY - box.top);
    this.canvas.style.cursor = over ? "ew-resize" : "default";
  }

  #wheel(event) {
    const [a, b] = this.view;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) return this.zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15);
    const by = (event.deltaX || event.deltaY) / this.canvas.clientWidth;
    this.#look(a + by * (b - a), b - a);
  }
}
