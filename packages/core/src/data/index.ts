// What the room `data` offers to the packages above.
export { readDocuments } from './documents.js';
export type { DataRecord } from './records.js';
export type { RecordSource, Split } from './source.js';
