// Makes a studio in a kernel that has none. What is executed is written here and nowhere else; it binds no name of the user's.
import type { Problem } from "@kit/bridge/bridge";
import type { Kernel } from "@jupyterlab/services";

const OPEN = '__import__("peft_studio").studio.panel()';

/** What went wrong, or null. While a cell runs it is done on a shell of its own where the kernel has such, else when the cell ends. */
export async function startStudio(kernel: Kernel.IKernelConnection): Promise<Problem | null> {
  const side = await besides(kernel);
  try {
    const { content } = await (side ?? kernel).requestExecute({ code: OPEN, silent: true, store_history: false, stop_on_error: false }).done;
    return content.status === "ok" ? null : explain(content);
  } catch (error) {
    return { message: "The kernel ended before it could answer.", hint: String(error) };
  } finally {
    side?.dispose();
  }
}

async function besides(kernel: Kernel.IKernelConnection): Promise<Kernel.IKernelConnection | null> {
  if (!kernel.supportsSubshells || !kernel.requestCreateSubshell) return null;
  const { content } = await kernel.requestCreateSubshell({}).done;
  const side = kernel.clone({ handleComms: false });
  side.subshellId = content.subshell_id;
  return side;
}

function explain({ ename, evalue }: Kernel.ExecuteReply): Problem {
  if (ename === "ModuleNotFoundError" && evalue?.includes("'peft_studio'"))
    return { message: "This kernel's Python does not have PEFT Studio.", hint: "Run %pip install peft-studio in a cell, or choose another kernel." };
  return { message: `${ename}: ${evalue}`, hint: "Running studio.show() in a cell shows the whole trace." };
}
