// A repository on the hub: its name, its revisions, the paths of its files.
import { UserError } from '../base/errors.js';

/** A repository on the hub. */
export interface HubRepository {
  readonly type: 'model' | 'dataset';
  /** `owner/name`, or the bare name of an old repository. */
  readonly name: string;
  /** Branch, tag or commit; `main` by default. */
  readonly revision?: string;
  /** A revision to take where `revision` has none of the wanted files; it need not exist. */
  readonly fallback?: string;
}

/** Whether a text has the form of a hub name with an owner: `google/mt5-small`. */
export function isHubName(text: string): boolean {
  return /^[\w-][\w.-]*\/[\w-][\w.-]*$/u.test(text) && !text.includes('..');
}

export function describe({ type, name, revision }: HubRepository): string {
  return `${type} ${name}${revision === undefined ? '' : ` (revision ${revision})`}`;
}

/** In order of preference. */
export function revisionsOf({ revision = 'main', fallback }: HubRepository): string[] {
  return fallback === undefined ? [revision] : [revision, fallback];
}

/** The form of a commit id. */
export const commitPattern = /^[0-9a-f]{40}$/u;

/** No path of a repository may leave its folder. `what` names it, for the message. */
export function checkPath(path: string, what: string): string {
  const parts = path.split('/');
  if (/[\\\0:]/u.test(path) || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new UserError(`${what}: the hub names an unsafe file: ${JSON.stringify(path)}`);
  }
  return path;
}
