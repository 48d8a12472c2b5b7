// How to reach the hub: options, and their defaults from the environment, as in Python's huggingface_hub.
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Patience } from '@promot/torch/files';
import type { Observer } from '../base/events.js';

/** How to reach the hub; the defaults come from the environment, as in Python's huggingface_hub. */
export interface HubOptions {
  /** `HF_ENDPOINT`, else https://huggingface.co. */
  readonly endpoint?: string;
  /** `HF_TOKEN`; sent to the endpoint only, never to the servers it redirects to. */
  readonly token?: string;
  /** `HF_HUB_CACHE`, else `$HF_HOME/hub`, else `~/.cache/huggingface/hub`. */
  readonly cacheFolder?: string;
  /** `HF_HUB_OFFLINE` (1, true, yes, on): only what is cached is used. */
  readonly offline?: boolean;
  /**
   * Hears of downloads, and in notes what people should know though the work goes on (a cached copy is used, another
   * process downloads). By default notes are warnings of Node.js.
   */
  readonly onEvent?: Observer;
  readonly signal?: AbortSignal;
  /** Seconds before the first new attempt, doubled each time; 1 by default. */
  readonly retryDelay?: number;
  /** Seconds without a byte after which a connection counts as cut; 10 by default. */
  readonly silence?: number;
}

/** An observer that hears of notes alone. */
export function notesTo(onWarning: (message: string) => void): Observer {
  return (event) => event.type === 'note' && onWarning(event.text);
}

/** The options with their defaults. */
export type HubSettings = HubOptions &
  Required<Pick<HubOptions, 'endpoint' | 'cacheFolder' | 'offline' | 'retryDelay' | 'silence' | 'onEvent'>> &
  Patience;

/** Fills in the defaults. */
export function settingsOf(options: HubOptions): HubSettings {
  const { env } = process;
  const home = env.HF_HOME ?? join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  const onEvent: Observer = options.onEvent ?? ((event) => event.type === 'note' && process.emitWarning(event.text));
  return {
    ...options,
    endpoint: (options.endpoint ?? (env.HF_ENDPOINT || 'https://huggingface.co')).replace(/\/+$/u, ''),
    token: (options.token ?? env.HF_TOKEN) || undefined,
    cacheFolder: options.cacheFolder ?? env.HF_HUB_CACHE ?? join(home, 'hub'),
    offline: options.offline ?? /^(?:1|true|yes|on)$/iu.test(env.HF_HUB_OFFLINE ?? ''),
    retryDelay: options.retryDelay ?? 1,
    silence: options.silence ?? 10,
    onEvent,
    onNote: (text) => onEvent({ type: 'note', text }),
  };
}
