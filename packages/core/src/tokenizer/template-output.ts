// What a chat template writes for values that are no text: as Python writes them, for which templates are made.
import type { Template } from '@huggingface/jinja';

type Node = Template['parsed']['body'][number];
/** A node that holds others: blocks, their branches, macros. */
type Block = Node & { body?: Node[]; alternate?: Node[]; defaultBlock?: Node[] };

/** Nodes whose values are texts or numbers in any case. Arithmetic is one of them. */
const plain = ['StringLiteral', 'IntegerLiteral', 'FloatLiteral', 'BinaryExpression'];
const statements = ['If', 'For', 'Set', 'Macro', 'Comment', 'CallStatement', 'FilterStatement', 'Break', 'Continue'];

const identifier = (value: string) => ({ type: 'Identifier', value }) as Node;
const call = (name: string, args: Node[]) => ({ type: 'CallExpression', callee: identifier(name), args }) as Node;
/** A function cannot tell null from what is not there: the template says so. */
const isNone = (operand: Node) =>
  ({ type: 'TestExpression', operand, negate: false, test: identifier('none') }) as Node;
/** A name, or a place in what it stands for: looked up twice it is the same. */
const isPlace = ({ type }: Node) => type === 'Identifier' || type === 'MemberExpression';

/**
 * Sends every value that the template writes through the function `promot_written`, in place: render it with
 * `{ promot_written: written }`.
 *
 * @example asPython(new Template('{{ none }}')).render({ promot_written: written }) // 'None'
 */
export function asPython(template: Template): Template {
  const walk = (nodes: Node[] | undefined) => {
    for (const [i, node] of (nodes ?? []).entries()) {
      if (statements.includes(node.type)) {
        const { body, alternate, defaultBlock } = node as Block;
        for (const part of [body, alternate, defaultBlock]) walk(part);
      } else if (!plain.includes(node.type))
        nodes![i] = call('promot_written', [node, ...(isPlace(node) ? [isNone(node)] : [])]);
    }
  };
  walk(template.parsed.body);
  return template;
}

/**
 * A value as Python writes it; `isNone` where it is null. Throws for lists and objects, which templates give to
 * `tojson`.
 */
export function written(value: unknown, isNone = false): string | number {
  if (typeof value === 'string' || typeof value === 'number') return value;
  if (isNone) return 'None';
  // What is not there is nothing in Jinja, too.
  if (value === undefined || value === null) return '';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  throw new Error(`it writes ${Array.isArray(value) ? 'a list' : 'an object'} without tojson`);
}
