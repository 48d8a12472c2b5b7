// Requests to the hub: redirects, the token, what a status means.
import { checkPassing, exchange, parseBoundedJson, piecesOf } from '@promot/torch/files';
import { UserError } from '../base/errors.js';
import type { HubSettings } from './settings.js';

type Header = Readonly<Record<string, string>>;

/** Follows redirects; the token goes to the hub's own origin only. */
export async function follow(
  url: string,
  init: { method?: string; headers?: Header },
  settings: HubSettings,
): Promise<Response> {
  let current = url;
  for (let hop = 0; hop < 10; hop++) {
    const own = new URL(current).origin === new URL(settings.endpoint).origin;
    const authorization: Header =
      own && settings.token !== undefined ? { authorization: `Bearer ${settings.token}` } : {};
    const headers = { 'accept-encoding': 'identity', 'user-agent': 'promot', ...init.headers, ...authorization };
    const response = await exchange(current, { method: init.method ?? 'GET', headers, redirect: 'manual' }, settings);
    const location = response.headers.get('location');
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    if (!URL.canParse(location, current)) throw new UserError(`${current} redirects to no address: ${location}`);
    const next = new URL(location, current);
    // The answer to HEAD carries the file's etag when it points to another server: there it would have another one.
    if (init.method === 'HEAD' && response.headers.has('x-linked-etag')) return response;
    if (!/^https?:$/u.test(next.protocol)) throw new UserError(`${current} redirects to ${next.protocol}`);
    await response.body?.cancel();
    current = next.href;
  }
  throw new UserError(`${url} redirects too often`);
}

/** Throws a UserError for a refusal, a PassingError for what another attempt may cure. */
export function checkStatus(response: Response, what: string, settings: HubSettings): void {
  const { status } = response;
  if (status < 400) return;
  void response.body?.cancel().catch(() => {});
  if (status === 401 || status === 403) {
    const advice =
      settings.token === undefined
        ? 'set HF_TOKEN to a token that may read it'
        : 'the token in HF_TOKEN may not read it';
    throw new UserError(
      `${what} does not exist or is not public (${status} from ${settings.endpoint}): check the name, or ${advice}`,
    );
  }
  if (status === 404) throw new UserError(`${what} does not exist on ${settings.endpoint} (404)`);
  checkPassing(response);
  throw new UserError(`${what}: ${settings.endpoint} answered ${status}`);
}

/** No list of files is longer, in bytes: the largest repositories' are of some megabytes. */
const largestList = 1 << 26;

/** An answer's body as JSON; undefined where it is none. Errors: a UserError for a body beyond a limit. */
export async function readJsonBody(response: Response, what: string, settings: HubSettings): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of piecesOf(response, settings)) {
    pieces.push(piece);
    length += piece.length;
    if (length > largestList)
      throw new UserError(
        `${what}: ${settings.endpoint} sends a list of more than ${largestList >> 20} MiB: it is not read`,
      );
  }
  try {
    return parseBoundedJson(Buffer.concat(pieces));
  } catch {
    return undefined;
  }
}
