// What the room `data` offers to the packages above.
export { readDocuments } from './documents.js';
export { ExactNumber } from './exact-number.js';
export { findFiles } from './find-files.js';
export { parseJson } from './json-records.js';
export { type DataRecord, isRecordFile, readRecords } from './records.js';
export { fileSource, folderSource, type RecordSource, readTable, type Split, withValidationShare } from './source.js';
export { readSingleTexts } from './texts.js';
