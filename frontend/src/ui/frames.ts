/** Drawing more often than this is not seen, but paid for. */
const FRAME_MS_MIN = 1000 / 30;
/** Animation frames come a little early or late: a frame this near counts as due. */
const SLACK_MS = 4;

/** One thing that is drawn: `invalidate` asks for the next frame, however often it is called. */
export interface Drawing {
  invalidate(): void;
  dispose(): void;
}

/** Draws everything that has changed in one animation frame, at most 30 times a second. Hidden tabs get no frames, so draw nothing. */
export class FrameScheduler {
  readonly #dirty = new Set<() => void>();
  #requested = false;
  #lastMs = -Infinity;

  constructor(private readonly request: (callback: (nowMs: number) => void) => void = (callback) => requestAnimationFrame(callback)) {}

  register(draw: () => void): Drawing {
    let live = true;
    const once = (): void => {
      if (live) draw();
    };
    return {
      invalidate: () => {
        if (!live) return;
        this.#dirty.add(once);
        this.#next();
      },
      dispose: () => {
        live = false;
        this.#dirty.delete(once);
      },
    };
  }

  #next(): void {
    if (this.#requested) return;
    this.#requested = true;
    this.request((nowMs) => this.#frame(nowMs));
  }

  #frame(nowMs: number): void {
    this.#requested = false;
    if (nowMs - this.#lastMs < FRAME_MS_MIN - SLACK_MS) {
      this.#next();
      return;
    }
    this.#lastMs = nowMs;
    const due = [...this.#dirty];
    this.#dirty.clear();
    for (const draw of due) draw();
  }
}

/** The one scheduler of the application. */
export const frames = new FrameScheduler();
