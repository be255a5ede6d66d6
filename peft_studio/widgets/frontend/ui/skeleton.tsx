// What stands where content will come: nothing for 200 ms, then still bars, after 2 s a sentence.
import { useEffect, useState } from "preact/hooks";

export function Skeleton({ said }: { said: string }) {
  const [stage, setStage] = useState(0);
  useEffect(() => {
    const timers = [setTimeout(() => setStage(1), 200), setTimeout(() => setStage(2), 2000)];
    return () => timers.forEach(clearTimeout);
  }, []);
  return (
    <div class="ps-sec" aria-busy="true">
      {stage > 0 && [68, 42, 90, 55].map((share) => <i key={share} class="ps-bar" style={{ width: `${share}%` }} />)}
      <p class="ps-muted ps-s">{stage > 1 ? said : "\u00a0"}</p>
    </div>
  );
}
