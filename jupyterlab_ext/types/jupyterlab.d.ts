// The part of JupyterLab 4 and Lumino 2 that the extension uses. Their own type packages weigh hundreds of megabytes with what they need;
// the browser tests hold these lines against the real thing.
declare module "@lumino/signaling" {
  export interface ISignal<T, U> {
    connect(slot: (sender: T, args: U) => void): boolean;
    disconnect(slot: (sender: T, args: U) => void): boolean;
  }
  export class Signal<T, U> implements ISignal<T, U> {
    constructor(sender: T);
    connect(slot: (sender: T, args: U) => void): boolean;
    disconnect(slot: (sender: T, args: U) => void): boolean;
    emit(args: U): void;
  }
}

declare module "@lumino/widgets" {
  import type { ISignal } from "@lumino/signaling";
  export class Widget {
    constructor(options?: { node?: HTMLElement });
    id: string;
    readonly node: HTMLElement;
    readonly title: { label: string; caption: string; icon: unknown };
    readonly isVisible: boolean;
    readonly isDisposed: boolean;
    readonly disposed: ISignal<this, void>;
    addClass(name: string): void;
    update(): void;
    dispose(): void;
    protected onAfterShow(message: unknown): void;
    protected onAfterHide(message: unknown): void;
    protected onUpdateRequest(message: unknown): void;
  }
  export class Panel extends Widget {
    addWidget(widget: Widget): void;
  }
}

declare module "@jupyterlab/services" {
  import type { ISignal } from "@lumino/signaling";
  export namespace ServerConnection {
    interface ISettings {
      readonly baseUrl: string;
    }
    function makeSettings(): ISettings;
    function makeRequest(url: string, init: RequestInit, settings: ISettings): Promise<Response>;
  }
  export namespace Kernel {
    interface IComm {
      readonly commId: string;
      readonly isDisposed: boolean;
      onMsg: (message: { content: { data: unknown }; buffers?: (ArrayBuffer | ArrayBufferView)[] }) => void;
      onClose: () => void;
      send(data: unknown): unknown;
    }
    interface IFuture<Content> {
      readonly done: Promise<{ content: Content }>;
      dispose(): void;
    }
    interface IKernelConnection {
      readonly id: string;
      readonly status: string;
      readonly isDisposed: boolean;
      readonly spec: Promise<{ language: string; display_name: string } | undefined>;
      readonly statusChanged: ISignal<IKernelConnection, string>;
      /** From JupyterLab 4.4 on, with a kernel that has subshells. */
      readonly supportsSubshells?: boolean;
      subshellId?: string | null;
      requestCreateSubshell?(content: Record<string, never>): IFuture<{ subshell_id: string }>;
      registerCommTarget(name: string, open: (comm: IComm) => void): void;
      removeCommTarget(name: string, open: (comm: IComm) => void): void;
      requestCommInfo(content: { target_name: string }): Promise<{ content: { status: string; comms?: Record<string, unknown> } }>;
      createComm(target: string, id: string): IComm;
      hasComm(id: string): boolean;
      requestExecute(content: { code: string; silent: boolean; store_history: boolean; stop_on_error: boolean }): IFuture<ExecuteReply>;
      clone(options: { handleComms: boolean }): IKernelConnection;
      dispose(): void;
    }
    interface ExecuteReply {
      status: string;
      ename?: string;
      evalue?: string;
    }
  }
}

declare module "@jupyterlab/coreutils" {
  export const PathExt: { basename(path: string): string };
  export const URLExt: { join(...parts: string[]): string };
}

declare module "@jupyterlab/rendermime" {
  import type { Widget } from "@lumino/widgets";
  export interface IRenderMimeRegistry {
    readonly mimeTypes: readonly string[];
    createModel(options: { data: Record<string, unknown>; trusted: boolean }): unknown;
    createRenderer(mimeType: string): Widget & { renderModel(model: unknown): Promise<void> };
  }
}

declare module "@jupyterlab/apputils" {
  import type { Widget } from "@lumino/widgets";
  export interface ISessionContext {
    readonly ready: Promise<void>;
    readonly session: { readonly kernel: import("@jupyterlab/services").Kernel.IKernelConnection | null } | null;
    readonly kernelDisplayName: string;
    readonly kernelChanged: import("@lumino/signaling").ISignal<ISessionContext, { newValue: import("@jupyterlab/services").Kernel.IKernelConnection | null }>;
    readonly propertyChanged: import("@lumino/signaling").ISignal<ISessionContext, string>;
  }
  export interface ICommandPalette {
    addItem(item: { command: string; category: string; args?: Record<string, unknown> }): unknown;
  }
  export const ICommandPalette: unique symbol;
  export interface Button {
    label: string;
  }
  export const Dialog: {
    cancelButton(options?: { label?: string }): Button;
    okButton(options?: { label?: string }): Button;
    warnButton(options?: { label?: string }): Button;
  };
  export function showDialog(options: { title: string; body: string | Widget; buttons: Button[]; defaultButton?: number; focusNodeSelector?: string }): Promise<{ button: Button & { accept: boolean } }>;
  export const Notification: {
    emit(message: string, type: "success" | "error" | "info", options: { autoClose: number | false; actions: { label: string; callback: () => void }[] }): string;
  };
  export function showErrorMessage(title: string, error: string): Promise<void>;
  export const InputDialog: {
    getItem(options: { title: string; label?: string; items: string[]; okLabel?: string }): Promise<{ value: string | null }>;
  };
}

declare module "@jupyterlab/notebook" {
  import type { ISessionContext } from "@jupyterlab/apputils";
  import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";
  import type { ISignal } from "@lumino/signaling";
  import type { Widget } from "@lumino/widgets";
  export interface SharedNotebook {
    readonly cells: readonly unknown[];
    transact(work: () => void): void;
    insertCells(at: number, cells: { cell_type: string; source: string; metadata?: object }[]): void;
    deleteCellRange(from: number, to: number): void;
  }
  export interface Notebook {
    readonly rendermime: IRenderMimeRegistry;
    readonly model: { readonly sharedModel: SharedNotebook } | null;
    activeCellIndex: number;
    mode: "command" | "edit";
    readonly activeCell: { readonly ready: Promise<void>; readonly editor: { focus(): void } | null } | null;
    deselectAll(): void;
    scrollToItem(at: number, align: "auto" | "smart" | "center"): Promise<void>;
  }
  export interface NotebookPanel extends Widget {
    readonly content: Notebook;
    readonly sessionContext: ISessionContext;
    readonly context: { readonly path: string; readonly ready: Promise<void>; readonly pathChanged: ISignal<unknown, string> };
    readonly revealed: Promise<void>;
  }
  export interface INotebookTracker {
    readonly currentWidget: NotebookPanel | null;
    readonly currentChanged: ISignal<INotebookTracker, NotebookPanel | null>;
    readonly widgetAdded: ISignal<INotebookTracker, NotebookPanel>;
    forEach(each: (panel: NotebookPanel) => void): void;
  }
  export const INotebookTracker: unique symbol;
  export const NotebookActions: {
    run(notebook: Notebook, session: ISessionContext): Promise<boolean>;
    runAll(notebook: Notebook, session: ISessionContext): Promise<boolean>;
  };
}

declare module "@jupyterlab/application" {
  import type { Widget } from "@lumino/widgets";
  export interface JupyterFrontEnd {
    readonly shell: {
      add(widget: Widget, area: string, options?: { rank?: number }): void;
      activateById(id: string): void;
    };
    readonly commands: {
      addCommand(id: string, options: CommandOptions): unknown;
      execute(id: string, args?: Record<string, unknown>): Promise<unknown>;
      hasCommand(id: string): boolean;
      notifyCommandChanged(id?: string): void;
    };
    readonly serviceManager: {
      readonly kernelspecs: { readonly ready: Promise<void>; readonly specs: { default: string; kernelspecs: Record<string, { language: string } | undefined> } | null };
    };
  }
  export interface CommandOptions {
    label: string | ((args: Record<string, unknown>) => string);
    caption?: string;
    icon?: unknown;
    isEnabled?: () => boolean;
    execute: (args: Record<string, unknown>) => unknown;
  }
  export interface JupyterFrontEndPlugin {
    id: string;
    description: string;
    autoStart: boolean;
    requires: unknown[];
    optional: unknown[];
    activate: (app: JupyterFrontEnd, ...services: never[]) => void;
  }
  export interface ILayoutRestorer {
    add(widget: Widget, name: string): void;
  }
  export const ILayoutRestorer: unique symbol;
}

declare module "@jupyterlab/launcher" {
  export interface ILauncher {
    add(item: { command: string; category: string; rank?: number; args?: Record<string, unknown> }): unknown;
  }
  export const ILauncher: unique symbol;
}

declare module "@jupyterlab/statusbar" {
  import type { ISignal } from "@lumino/signaling";
  import type { Widget } from "@lumino/widgets";
  export interface IStatusBar {
    registerStatusItem(id: string, item: { item: Widget; align: "left" | "middle" | "right"; rank: number; isActive: () => boolean; activeStateChanged: ISignal<unknown, void> }): unknown;
  }
  export const IStatusBar: unique symbol;
}

declare module "@jupyterlab/running" {
  import type { ISignal } from "@lumino/signaling";
  export interface IRunningItem {
    open(): void;
    shutdown(): void;
    icon(): unknown;
    label(): string;
    labelTitle(): string;
    detail(): string;
  }
  export interface IRunningSessionManagers {
    add(manager: {
      name: string;
      supportsMultipleViews: boolean;
      running(): IRunningItem[];
      shutdownAll(): void;
      refreshRunning(): void;
      runningChanged: ISignal<unknown, unknown>;
      shutdownLabel: string;
      shutdownAllLabel: string;
      shutdownAllConfirmationText: string;
    }): unknown;
  }
  export const IRunningSessionManagers: unique symbol;
}

declare module "@jupyterlab/settingregistry" {
  import type { ISignal } from "@lumino/signaling";
  export interface ISettings {
    readonly composite: Record<string, unknown>;
    readonly changed: ISignal<ISettings, void>;
  }
  export interface ISettingRegistry {
    load(id: string): Promise<ISettings>;
  }
  export const ISettingRegistry: unique symbol;
}

declare module "@jupyterlab/ui-components" {
  export class LabIcon {
    constructor(options: { name: string; svgstr: string });
  }
}

declare module "*.css" {
  const text: string;
  export default text;
}
