/**
 * Header fields that the table sets or removes: on the way to an upstream, and on the way back.
 */
import type { Side } from '../http/exchange.ts'
import { type DoneEdits, dashedName } from '../http/field-edits.ts'
import type { Flaw } from '../values/units.ts'
import { bytesOf, inHeader, type Known, parseTemplate, render, type Template } from './placeholders.ts'

/** `headers` of an upstream or a route, as the table writes it. */
export interface FieldEditsDocument {
  readonly set?: Readonly<Record<string, string>> | undefined
  readonly remove?: readonly string[] | undefined
}

/** Compiled. */
export interface FieldEdits {
  /** Fields that do not go on as received, by `dashedName`: those that are set, and those that are removed. */
  readonly drops: ReadonlySet<string>
  readonly set: readonly { readonly name: string; readonly value: Template }[]
  /** What is to be done, where it is the same for all requests; else null. */
  readonly always: DoneEdits | null
}

/** @param params the `:name`s of the route's path, or null for an upstream */
export function compileFieldEdits(said: FieldEditsDocument, params: readonly string[] | null): FieldEdits {
  const set = Object.entries(said.set ?? {}).map(([name, text]) => ({
    name,
    value: parseTemplate(text, params) as Template,
  }))
  return fieldEdits(new Set([...(said.remove ?? []), ...set.map(({ name }) => name)].map(dashedName)), set)
}

function fieldEdits(drops: ReadonlySet<string>, set: FieldEdits['set']): FieldEdits {
  const isSame = set.every(({ value }) => value.pieces.every((piece) => typeof piece === 'string'))
  const always = isSame ? { drops, added: set.flatMap(({ name, value }) => [name, value.pieces.join('')]) } : null
  return { drops, set, always }
}

/** The edits of two places: where both speak of a field, the second counts. */
export function mergedEdits(first: FieldEdits, second: FieldEdits): FieldEdits {
  const kept = first.set.filter(({ name }) => !second.drops.has(dashedName(name)))
  return fieldEdits(first.drops.union(second.drops), [...kept, ...second.set])
}

/** The edits for one message, their placeholders filled. @param side that is asked, or has answered */
export function editsFor(edits: FieldEdits, known: Known, side: Side | null): DoneEdits {
  if (edits.always !== null) return edits.always
  const added = edits.set.flatMap(({ name, value }) => [name, render(value, known, side, inHeader)])
  return { drops: edits.drops, added }
}

/** Why a text can't be the value of a field, or null. @param params as for `parseTemplate` */
export function flawOfFieldText(text: string, params: readonly string[] | null): Flaw | null {
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(bytesOf(text))) return { message: 'a header must not include control characters' }
  if (text !== text.trim()) return { message: 'a header must not begin or end with white space' }
  const template = parseTemplate(text, params)
  return 'message' in template ? template : null
}
