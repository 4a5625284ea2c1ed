import { describe, expect, test } from "vitest";

import { FrameScheduler } from "@/ui/frames";

/** A scheduler whose frames come when the test says so. */
function manual(): { scheduler: FrameScheduler; frame: (nowMs: number) => void; requested: () => number } {
  const callbacks: ((nowMs: number) => void)[] = [];
  const scheduler = new FrameScheduler((callback) => callbacks.push(callback));
  return { scheduler, frame: (nowMs) => callbacks.splice(0).forEach((callback) => callback(nowMs)), requested: () => callbacks.length };
}

describe("the frame scheduler", () => {
  test("however often something changes, it is drawn once a frame", () => {
    const { scheduler, frame, requested } = manual();
    let drawn = 0;
    const drawing = scheduler.register(() => (drawn += 1));
    for (let change = 0; change < 100; change += 1) drawing.invalidate();
    expect(requested()).toBe(1);
    frame(0);
    expect(drawn).toBe(1);
    expect(requested()).toBe(0);
  });

  test("a 60 Hz display draws at most 30 times a second", () => {
    const { scheduler, frame } = manual();
    let drawn = 0;
    const drawing = scheduler.register(() => (drawn += 1));
    for (let tick = 0; tick < 60; tick += 1) {
      drawing.invalidate();
      frame(tick * (1000 / 60));
    }
    expect(drawn).toBe(30);
  });

  test("what is disposed of is not drawn any more", () => {
    const { scheduler, frame } = manual();
    let drawn = 0;
    const drawing = scheduler.register(() => (drawn += 1));
    drawing.invalidate();
    drawing.dispose();
    frame(0);
    drawing.invalidate();
    frame(100);
    expect(drawn).toBe(0);
  });
});
