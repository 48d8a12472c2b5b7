// Keys and values of the tokens that generation feeds one by one, of all layers. Rows (beams) come from one another,
// and no key moves for it: keys lie in slots, and a table says which slots hold what a row has fed.
// Shapes: N rows, L tokens fed to each, G key/value heads, D head width, S slots.
import { arange, cat, type KeyPart, keep, scope, type Tensor, zeros } from '@promot/torch';
import { idTensor } from './padding.js';

/** Room for at least so many tokens is made at a time. */
const leastRoom = 16;

export class FedTokens {
  /** Keys and values [S, G, 1, D] of each layer. */
  readonly #layers: [keys: Tensor, values: Tensor][] = [];
  /** The slots of each row's tokens, in order [N, L]. */
  #table: Tensor | undefined;
  /** Slots in use are those before it. */
  #end = 0;
  #capacity = 0;

  get rows(): number {
    return this.#table?.size(0) ?? 0;
  }

  /** Tokens fed to each row. */
  get length(): number {
    return this.#table?.size(1) ?? 0;
  }

  /** Makes room for one token more of each of so many rows. Each layer's `append` follows. */
  grow(rows: number): void {
    scope(() => {
      if (this.#end + rows > this.#capacity) this.#enlarge(rows);
      const own = arange(rows).add(this.#end).unsqueeze(1);
      this.#replaceTable(this.#table ? cat([this.#table, own], 1) : own);
      this.#end += rows;
    });
  }

  /** Keeps the keys and values of the last token [N, G, 1, D]. Gives all that the layer has of the rows. */
  append(layer: number, keys: Tensor, values: Tensor): KeyPart {
    if (keys.requiresGrad) return this.append(layer, keys.detach(), values.detach());
    return scope(() => {
      const [rows, groups, , width] = keys.shape as [number, number, number, number];
      const slots = () => keep(zeros([this.#capacity, groups, 1, width], keys.dtype));
      this.#layers[layer] ??= [slots(), slots()];
      const [k, v] = this.#layers[layer];
      k.narrow(0, this.#end - rows, rows).copy_(keys);
      v.narrow(0, this.#end - rows, rows).copy_(values);
      return [k, v, this.#table!];
    });
  }

  /** From now on row i goes on from what row rows[i] has fed. */
  reorder(rows: readonly number[]): void {
    if (this.#table) scope(() => this.#replaceTable(this.#table!.indexSelect(0, idTensor(rows))));
  }

  /** Keeps, of one row for each input, the first so many tokens; `rows` are the numbers of those rows. */
  rewind(rows: readonly number[], length: number): void {
    this.reorder(rows);
    scope(() => this.#replaceTable(this.#table!.narrow(1, 0, length).clone()));
  }

  /** Forgets all. */
  clear(): void {
    for (const tensor of this.#layers.splice(0).flat()) tensor.dispose();
    this.#table?.dispose();
    this.#table = undefined;
    this.#end = this.#capacity = 0;
  }

  /** Takes only what a row still looks at to larger tensors. */
  #enlarge(rows: number): void {
    const kept = this.#table?.reshape(-1);
    this.#end = kept?.size(0) ?? 0;
    const tokens = Math.max(leastRoom, Math.ceil(this.length / 2));
    this.#capacity = this.#end + rows * tokens;
    this.#layers.forEach((pair, layer) => {
      this.#layers[layer] = pair.map((old) => {
        const larger = keep(zeros([this.#capacity, ...old.shape.slice(1)], old.dtype));
        scope(() => larger.narrow(0, 0, this.#end).copy_(old.indexSelect(0, kept!)));
        old.dispose();
        return larger;
      }) as [Tensor, Tensor];
    });
    if (kept) this.#replaceTable(arange(this.#end).view(...this.#table!.shape));
  }

  #replaceTable(table: Tensor): void {
    const before = this.#table;
    this.#table = keep(table);
    before?.dispose();
  }
}
