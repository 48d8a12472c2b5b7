// What the room `report` offers to the packages above.
export { formFigure, lossFigure, type NamedRun, validationFigure } from './curves.js';
export { htmlReport } from './html.js';
export { makeReport, type ReportRequest, runReport, type WrittenReport } from './make-report.js';
export { markdownReport } from './markdown.js';
export { type FrontPoint, paretoFront } from './pareto.js';
export type { Cell, Figure, FigurePoint, Report, Section, SideBySide, Table } from './report.js';
export { bestOfRun, versions } from './run-sections.js';
export { writeReport } from './write.js';
