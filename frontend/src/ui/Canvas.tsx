import { useEffect, useRef, type MouseEvent } from "react";

import { frames } from "./frames";
import { palette, type Palette } from "./palette";
import { themeChanges } from "./theme";
import { useDrawing, type Changes } from "./useDrawing";

/** What a painter needs: a context in CSS pixels, its size, the colours of the theme, the row pointed at. */
export interface Surface {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  readonly height: number;
  readonly colours: Palette;
  readonly pointerY: number | null;
}

/** A canvas that fills its parent and is painted in a frame after each change of `source`, of its size or of the theme. Hidden from screen readers. */
export function Canvas({ source, paint, onPick }: {
  readonly source: Changes;
  readonly paint: (surface: Surface) => void;
  readonly onPick?: (y: number, height: number) => void;
}) {
  const element = useRef<HTMLCanvasElement>(null);
  const pointerY = useRef<number | null>(null);
  const draw = (): void => {
    const canvas = element.current;
    if (canvas) paintOn(canvas, pointerY.current, paint);
  };
  useDrawing(source, draw);
  useDrawing(themeChanges, draw);
  useResize(element, draw);

  const yOf = (event: MouseEvent): number => event.clientY - event.currentTarget.getBoundingClientRect().top;
  const point = (y: number | null): void => {
    pointerY.current = y;
    draw();
  };
  return (
    <canvas
      ref={element}
      aria-hidden="true"
      className={`absolute inset-0 h-full w-full ${onPick ? "cursor-pointer" : ""}`}
      onClick={(event) => onPick?.(yOf(event), event.currentTarget.clientHeight)}
      onMouseMove={(event) => onPick && point(yOf(event))}
      onMouseLeave={() => point(null)}
    />
  );
}

function useResize(element: React.RefObject<HTMLCanvasElement | null>, draw: () => void): void {
  const latest = useRef(draw);
  useEffect(() => {
    latest.current = draw;
  });
  useEffect(() => {
    if (!element.current) return undefined;
    const drawing = frames.register(() => latest.current());
    const observer = new ResizeObserver(() => drawing.invalidate());
    observer.observe(element.current);
    return () => {
      observer.disconnect();
      drawing.dispose();
    };
  }, [element]);
}

function paintOn(canvas: HTMLCanvasElement, pointerY: number | null, paint: (surface: Surface) => void): void {
  const { clientWidth: width, clientHeight: height } = canvas;
  const context = canvas.getContext("2d");
  if (!context || width === 0 || height === 0) return;
  const ratio = window.devicePixelRatio || 1;
  const pixelWidth = Math.round(width * ratio);
  const pixelHeight = Math.round(height * ratio);
  if (canvas.width !== pixelWidth || canvas.height !== pixelHeight) {
    canvas.width = pixelWidth;
    canvas.height = pixelHeight;
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const colours = palette();
  context.font = `12px ${colours.font}`;
  context.textBaseline = "middle";
  paint({ context, width, height, colours, pointerY });
}
