// A piece of a line beside its name in a legend.
export function Swatch({ color, faint, dots, dash }: { color: string; faint?: boolean; dots?: boolean; dash?: string | undefined }) {
  return (
    <svg class="ps-swatch" viewBox="0 0 18 8" aria-hidden="true" style={{ color }}>
      <path d="M0 4h18" stroke="currentColor" stroke-width={faint ? 1 : 2} stroke-opacity={faint ? 0.5 : 1} {...(dots || dash ? { "stroke-dasharray": dash ?? "6 3" } : {})} />
      {dots && <circle cx="9" cy="4" r="3" fill="currentColor" />}
    </svg>
  );
}
