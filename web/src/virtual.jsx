// A table of very many rows of equal height, of which only those in view are in the document.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

const kLeastRest = 230;  // px that the column without a width of its own keeps
const kSpare = 8;  // rows kept above and below the view
const positions = new Map();  // where each list was scrolled to, by its address

/**
 * head: the thead; columns: their widths in px, 0 for what is left; row(i): the tr of row i. `at` is the
 * list's address: coming back to it, it is where it was.
 */
export function VirtualTable({ at, count, height, head, columns, row, label, class: kind }) {
  const ref = useRef(null);
  const [{ top, view }, set] = useState({ top: 0, view: 640 });
  const measure = () => {
    positions.set(at, ref.current.scrollTop);
    set({ top: ref.current.scrollTop, view: ref.current.clientHeight });
  };
  useLayoutEffect(() => {
    ref.current.scrollTop = positions.get(at) ?? 0;
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [at]);
  const first = Math.max(0, Math.min(Math.floor(top / height) - kSpare, count - 1));
  const last = Math.min(count, Math.ceil((top + view) / height) + kSpare);
  return (
    <div class="virtual" ref={ref} onScroll={measure} tabindex="0" role="region" aria-label={label}>
      <div style={{ paddingTop: `${first * height}px`, paddingBottom: `${Math.max(0, count - last) * height}px` }}>
        <table class={kind} aria-rowcount={count + 1} style={{ minWidth: `${columns.reduce((sum, w) => sum + (w || kLeastRest), 0)}px` }}>
          <colgroup>{columns.map((w) => <col style={w ? { width: `${w}px` } : null} />)}</colgroup>
          {head}
          <tbody>{Array.from({ length: Math.max(0, last - first) }, (_, i) => row(first + i))}</tbody>
        </table>
      </div>
    </div>
  );
}
