// Where a linear layer stands in a model, and what it computes.

/** What a linear layer, or a part of one, computes. */
export type Role = 'query' | 'key' | 'value' | 'output' | 'gate' | 'up' | 'down' | 'head';

/** Where a linear layer stands and what it computes. */
export interface LinearPlace {
  readonly stack: 'encoder' | 'decoder';
  /** Counted from 0 within its stack; absent: the head. */
  readonly layer?: number;
  /** Of queries, keys, values and outputs: attention to the own stack, or to the encoder's states. */
  readonly attention?: 'self' | 'cross';
  /** In the order of the weight's rows: one, or several where a matrix holds several projections. */
  readonly parts: readonly { readonly role: Role; readonly rows: number }[];
}
