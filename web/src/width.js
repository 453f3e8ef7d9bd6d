import { useLayoutEffect, useRef, useState } from 'preact/hooks';

/** [ref, width in px of the element it is put on]: diagrams are laid out for the space there is. */
export function useWidth(initial = 960) {
  const ref = useRef(null);
  const [width, setWidth] = useState(initial);
  // Before it is painted: a drawing of the first guess's width could be wider than the window.
  useLayoutEffect(() => {
    const measure = () => ref.current && setWidth(Math.floor(ref.current.clientWidth));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}
