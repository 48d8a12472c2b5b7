// What stands between an exemplar's answer and the next input.

/** The separator of k-shot prompts. */
export const EXEMPLAR_SEPARATOR = '\n\n';
