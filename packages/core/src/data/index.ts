// What the room `data` offers to the packages above.
export type { DataRecord } from './records.js';
export type { RecordSource, Split } from './source.js';
