// A spec as a file: take the draft from one, or write it to one.
import { useState } from "preact/hooks";
import type { useCommands } from "../../bridge/hooks";
import { Button, IconButton } from "../../ui/button";
import { Dialog } from "../../ui/dialog";
import { Input } from "../../ui/field";
import { Notice } from "../../ui/notice";

interface FilesProps {
  way: "import" | "export";
  commands: ReturnType<typeof useCommands>;
  onClose: () => void;
}

export function SpecFile({ way, commands, onClose }: FilesProps) {
  const [path, setPath] = useState("spec.json");
  const [asking, setAsking] = useState("");
  const [written, setWritten] = useState("");
  const write = async (replace: boolean): Promise<void> => {
    const done = (await commands.run("export_file", { path, replace })) as { exists: boolean; path: string } | null;
    setAsking(done?.exists ? done.path : "");
    setWritten(done && !done.exists ? done.path : "");
  };
  const read = async (): Promise<void> => {
    const done = await commands.run("import_file", { path });
    if (done) onClose();
  };
  const go = (): void => void (path.trim() && (way === "import" ? read() : write(false)));
  const submit = (event: KeyboardEvent): void => {
    if (event.key === "Escape") onClose();
    if (event.key === "Enter" && event.target instanceof HTMLInputElement) go();
  };
  return (
    <div class="ps-file" onKeyDown={submit}>
      <span class="ps-file-path">
        <Input live value={path} label={way === "import" ? "Spec file to import" : "File to export to"} onChange={(text) => { setPath(text); setWritten(""); }} />
      </span>
      <Button reason={path.trim() ? undefined : "Name a file"} onPress={go}>
        {way === "import" ? "Import" : "Export"}
      </Button>
      <IconButton icon="close" label="Close" onPress={onClose} />
      {written && (
        <p class="ps-s ps-muted ps-file-said" role="status">
          Written to <bdi>{written}</bdi>
        </p>
      )}
      {asking && (
        <Dialog
          title={`Replace ${path.trim()}?`}
          facts={[["File", asking], ["What cannot come back", "What the file holds now."]]}
          verb="Replace"
          danger
          onConfirm={() => void write(true)}
          onClose={() => setAsking("")}
        />
      )}
    </div>
  );
}

/** What an import had to say of this machine. */
export function ImportNotes({ notes, commands }: { notes: string[]; commands: ReturnType<typeof useCommands> }) {
  const [fact, ...rest] = notes;
  return (
    <Notice hue="info" fact={fact} actions={<Button small onPress={() => void commands.run("dismiss_notes")}>Dismiss</Button>}>
      {rest.map((note) => (
        <p key={note} class="ps-s" dir="auto">
          {note}
        </p>
      ))}
    </Notice>
  );
}
