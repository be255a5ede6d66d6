// Where data comes from: a path or hub id, a folder of the kernel's machine, a file of this computer, the example.
import { useEffect, useRef, useState } from "preact/hooks";
import type { useCommands } from "../../bridge/hooks";
import { Button } from "../../ui/button";
import { Input } from "../../ui/field";
import * as format from "../../ui/format";
import { Icon } from "../../ui/icon";

interface Entry {
  name: string;
  path: string | null;
  bytes: number | null;
}

interface Listing {
  folder: string;
  parent: string | null;
  entries: Entry[];
  more: number;
}

interface ChooserProps {
  commands: ReturnType<typeof useCommands>;
  limitBytes: number;
  /** Whether opening is the panel's next step. */
  first: boolean;
  onFile: (file: File) => void;
  onOpened: () => void;
}

const ENDINGS = ".jsonl,.ndjson,.json,.csv,.tsv,.tab,.parquet,.arrow,.txt,.md";

export function Chooser({ commands, limitBytes, first, onFile, onOpened }: ChooserProps) {
  const [path, setPath] = useState("");
  const [listing, setListing] = useState<Listing | null>(null);
  const picker = useRef<HTMLInputElement>(null);
  const browse = async (folder: string | null): Promise<void> => {
    const found = (await commands.run("browse", { folder })) as Listing | null;
    if (found) setListing(found);
  };
  const open = (source: string): void => {
    if (!source.trim()) return;
    void commands.run("open", { source });
    onOpened();
  };
  useEffect(() => void browse(null), []);
  return (
    <div class="ps-sec ps-chooser" role="group" aria-label="Choose data">
      <div
        class="ps-row ps-path"
        onKeyDown={(event) => {
          if (event.key === "Enter" && event.target instanceof HTMLInputElement) open(event.target.value);
        }}
      >
        <Input live icon="folder" value={path} label="File, folder or hub id" placeholder="File, folder or hub id: train.jsonl, org/name" onChange={setPath} />
        <Button {...(first ? { kind: "primary" as const } : {})} reason={path.trim() ? undefined : "Type a path or a hub id first"} onPress={() => open(path)}>
          Open
        </Button>
      </div>
      {listing && <Folder listing={listing} onFolder={(folder) => void browse(folder)} onOpen={open} />}
      <p class="ps-row ps-tight ps-s ps-muted">
        <Button small icon="laptop" onPress={() => picker.current?.click()}>
          From this computer…
        </Button>
        <span>or drop a file here, up to {format.fileSize(limitBytes)}.</span>
        <span class="ps-end">
          <Button
            small
            kind="quiet"
            onPress={() => {
              void commands.run("example");
              onOpened();
            }}
          >
            Try the example
          </Button>
        </span>
        <input
          ref={picker}
          type="file"
          hidden
          accept={ENDINGS}
          onChange={() => {
            const file = picker.current?.files?.[0];
            if (file) onFile(file);
            if (picker.current) picker.current.value = "";
          }}
        />
      </p>
    </div>
  );
}

function Folder({ listing, onFolder, onOpen }: { listing: Listing; onFolder: (folder: string) => void; onOpen: (path: string) => void }) {
  const { folder, parent, entries, more } = listing;
  return (
    <div class="ps-files">
      <p class="ps-row ps-s">
        <Button small kind="quiet" reason={parent === null ? "This is the top" : undefined} onPress={() => parent !== null && onFolder(parent)}>
          Up
        </Button>
        <bdi class="ps-mono ps-muted ps-cut" title={folder}>
          {folder}
        </bdi>
      </p>
      <ul aria-label={`Data files in ${folder}`}>
        {entries.map((entry) => (
          <li key={entry.name}>
            <button
              type="button"
              aria-disabled={entry.path === null ? "true" : undefined}
              title={entry.path === null ? "Its name has characters that do not show; type its path" : entry.name}
              onClick={() => entry.path !== null && (entry.bytes === null ? onFolder(entry.path) : onOpen(entry.path))}
            >
              <Icon name={entry.bytes === null ? "folder" : "file"} hue="muted" />
              <bdi class="ps-cut">{entry.name}</bdi>
              <span class="ps-end ps-muted">{entry.bytes === null ? "" : entry.bytes < 1000 ? `${entry.bytes} bytes` : format.fileSize(entry.bytes)}</span>
            </button>
          </li>
        ))}
        {entries.length === 0 && <li class="ps-muted ps-s">No folder and no data file here.</li>}
        {more > 0 && <li class="ps-muted ps-s">{format.count(more)} more; type the path.</li>}
      </ul>
    </div>
  );
}
