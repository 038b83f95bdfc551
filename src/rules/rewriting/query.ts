/**
 * Query parameters that a route sets or removes on the way to its new side.
 */
import type { Side } from '../http/exchange.ts'
import { parameterName } from '../patterns/request-parts.ts'
import { formEncoded, inQuery, type Known, parseTemplate, render, type Template } from './placeholders.ts'

/** `rewrite.query`, as the table writes it. */
export interface QueryEditsDocument {
  readonly set?: Readonly<Record<string, string>> | undefined
  readonly remove?: readonly string[] | undefined
}

/** Compiled. */
export interface QueryEdits {
  /** Decoded names that do not go on as received. */
  readonly drops: ReadonlySet<string>
  /** Names are form-encoded. */
  readonly set: readonly { readonly name: string; readonly value: Template }[]
}

/** @param params the `:name`s of the route's path */
export function compileQueryEdits(
  { set = {}, remove = [] }: QueryEditsDocument,
  params: readonly string[],
): QueryEdits {
  return {
    drops: new Set([...remove, ...Object.keys(set)]),
    set: Object.entries(set).map(([name, text]) => ({
      name: formEncoded(name),
      value: parseTemplate(text, params, formEncoded) as Template,
    })),
  }
}

/** A target with its query edited; the parameters that stay keep their bytes and their order, and those that are set follow. */
export function rewriteQuery({ drops, set }: QueryEdits, target: string, known: Known, side: Side): string {
  const hash = target.indexOf('#')
  const whole = hash === -1 ? target : target.slice(0, hash)
  const mark = whole.indexOf('?')
  const pairs =
    mark === -1
      ? []
      : whole
          .slice(mark + 1)
          .split('&')
          .filter((pair) => !drops.has(parameterName(pair)))
  for (const { name, value } of set) pairs.push(`${name}=${render(value, known, side, inQuery)}`)
  const path = mark === -1 ? whole : whole.slice(0, mark)
  const query = pairs.length === 0 ? '' : `?${pairs.join('&')}`
  return path + query + (hash === -1 ? '' : target.slice(hash))
}
