// Things that are found by name and that a program can add to: tasks, built-in models, metrics, methods, model
// families.
import { UserError } from './errors.js';
import { didYouMean } from './nearest-name.js';

/**
 * A list of named things. The rooms of this library hold one each; packages above add theirs at start.
 *
 * @example
 * const methods = new Registry('method', [promot, fineTune]);
 * methods.add(mine);
 * methods.get('mine');
 */
export class Registry<T extends { readonly name: string }> {
  readonly #items = new Map<string, T>();

  /** @param kind what an entry is called in messages, such as `method` */
  constructor(
    readonly kind: string,
    items: readonly T[] = [],
  ) {
    for (const item of items) this.add(item);
  }

  /** Adds an entry. Throws UserError where another entry has its name; the same entry may be added twice. */
  add(item: T): void {
    const there = this.#items.get(item.name);
    if (there !== undefined && there !== item) {
      throw new UserError(`there is a ${this.kind} "${item.name}" already: give yours another name`);
    }
    this.#items.set(item.name, item);
  }

  /** The entry of this name, or undefined. */
  find(name: string): T | undefined {
    return this.#items.get(name);
  }

  /** The entry of this name. Throws UserError with the nearest name and all names where there is none. */
  get(name: string): T {
    const found = this.#items.get(name);
    if (found) return found;
    const names = this.names();
    throw new UserError(
      `unknown ${this.kind} "${name}"${didYouMean(name, names)}: the ${this.kind}s are ${names.join(', ')}`,
      { code: 'unknown-name' },
    );
  }

  /** All names, in the order in which they were added. */
  names(): string[] {
    return [...this.#items.keys()];
  }

  /** All entries, in the order in which they were added. */
  all(): T[] {
    return [...this.#items.values()];
  }
}
