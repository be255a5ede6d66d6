// The model card as others will see it, or its text as it goes. Every word of it becomes text of the page, never markup.
import { useMemo } from "preact/hooks";
import { useLocal } from "../../bridge/hooks";
import { CopyButton } from "../../ui/button";
import { Segmented } from "../../ui/field";
import { type Block, parse, pieces } from "./markdown";

const WAYS = [{ value: "seen", title: "Preview" }, { value: "text", title: "Text" }];

export function CardSection({ card }: { card: string }) {
  const [way, setWay] = useLocal("card", "seen");
  const blocks = useMemo(() => parse(card), [card]);
  return (
    <div class="ps-sec">
      <header>
        <h3>Model card</h3>
        <Segmented label="Model card as" value={way} options={WAYS} onChange={setWay} />
        <span class="ps-end">
          <CopyButton bare text={card} label="Copy the card" />
        </span>
      </header>
      {way === "text" ? (
        <pre class="ps-sheet ps-sheet-text" tabIndex={0} aria-label="Text of the model card" dir="auto">
          {card}
        </pre>
      ) : (
        <div class="ps-sheet" tabIndex={0} role="region" aria-label="Preview of the model card" dir="auto">
          {blocks.map((block, at) => (
            <BlockView key={at} block={block} />
          ))}
        </div>
      )}
    </div>
  );
}

function BlockView({ block }: { block: Block }) {
  if (block.kind === "heading") {
    const Heading = block.level === 1 ? "h4" : block.level === 2 ? "h5" : "h6";
    return (
      <Heading>
        <Line text={block.text} />
      </Heading>
    );
  }
  if (block.kind === "code") return <pre>{block.text}</pre>;
  if (block.kind === "facts")
    return (
      <dl>
        {block.rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    );
  if (block.kind === "table")
    return (
      <table class="ps-table">
        <thead>
          <tr>
            {block.head.map((cell, at) => (
              <th key={at} scope="col">
                <Line text={cell} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {block.rows.map((row, at) => (
            <tr key={at}>
              {row.map((cell, column) => (
                <td key={column}>
                  <Line text={cell} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    );
  const Box = block.kind === "quote" ? "blockquote" : "p";
  return (
    <Box>
      <Line text={block.text} />
    </Box>
  );
}

function Line({ text }: { text: string }) {
  return <>{pieces(text).map((one, at) => (one.kind === "code" ? <code key={at}>{one.text}</code> : one.kind === "bold" ? <b key={at}>{one.text}</b> : one.text))}</>;
}
