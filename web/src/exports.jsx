// Tables and figures, each with the button that saves it.
import { useRef } from 'preact/hooks';
import { download, figureSvg, fileName, tableCsv } from './download.js';

/** What an element is called on the page: its own caption, or the heading that it stands under. */
function called(element, name) {
  if (name) return name;
  const caption = element.querySelector('caption')?.textContent;
  if (caption) return caption.split(/[.:,]/)[0];
  const headings = [...document.querySelectorAll('main :is(h1, h2, h3)')]
    .filter((h) => h.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING);
  return headings.at(-1)?.textContent ?? 'table';
}

/** A table that scrolls by itself where it is too wide. */
export function Table({ name, class: kind, children, ...rest }) {
  const ref = useRef(null);
  const save = () => download(`${fileName(called(ref.current, name))}.csv`, tableCsv(ref.current.querySelector('table')));
  return (
    <div class="exported" ref={ref}>
      <div class="scroll">
        <table class={kind} {...rest}>{children}</table>
      </div>
      <button type="button" class="save" onClick={save} aria-label="Download this table as CSV">CSV</button>
    </div>
  );
}

/** Children hold one svg with a role (img, or group if it has links), and perhaps a .legend. */
export function Figure({ name, class: kind, children }) {
  const ref = useRef(null);
  const save = () => {
    const drawing = ref.current.querySelector('svg[role]');
    const label = name ?? drawing.getAttribute('aria-label') ?? 'figure';
    download(`${fileName(label.split(';')[0])}.svg`, figureSvg(ref.current), 'image/svg+xml');
  };
  return (
    <figure class={`exported ${kind ?? ''}`} ref={ref}>
      {children}
      <button type="button" class="save" onClick={save} aria-label="Download this figure as SVG">SVG</button>
    </figure>
  );
}
