/**
 * The places that requests are sent to: an upstream, with what a route does to the requests of one side.
 */
import type { FieldEditsDocument } from '../rewriting/field-edits.ts'
import { parseTemplate, type Template } from '../rewriting/placeholders.ts'
import type { Route, Table, Upstream } from '../table/table.ts'
import { Names } from './notes.ts'
import type { Share } from './shares.ts'

/** An upstream as the requests of one side of a route get it, or of all routes that change nothing of it. */
export interface Place {
  /** Unique, of letters, digits, `.`, `_` and `-`. */
  readonly name: string
  readonly upstream: Upstream
  /** Null where nothing is a route's own. */
  readonly route: Route | null
  /** The place of the route in the table; -1 without one. */
  readonly index: number
  readonly side: 'from' | 'to'
}

/** A header that is set, or removed (null). */
export interface FieldChange {
  readonly name: string
  /** Texts as they are, and placeholders. */
  readonly value: Template | null
}

/** The places of a table by what they are made of. */
export class Places {
  readonly #byKey = new Map<string, Place>()
  readonly #names = new Names()

  constructor(table: Table) {
    for (const [name, upstream] of table.upstreams) {
      this.#byKey.set(name, { name: this.#names.take(name), upstream, route: null, index: -1, side: 'from' })
    }
    for (const [index, route] of table.routes.entries()) {
      for (const side of ['from', 'to'] as const) {
        if (!isOwn(route, side)) continue
        const upstreams = side === 'from' ? [route.from] : route.targets.map((target) => target.upstream)
        for (const upstream of new Set(upstreams)) this.#addOwn(table, route, index, side, upstream)
      }
    }
  }

  #addOwn(table: Table, route: Route, index: number, side: 'from' | 'to', upstream: string): void {
    const name = this.#names.take(`${upstream}.${route.id}.${side}`)
    const of = table.upstreams.get(upstream) as Upstream
    this.#byKey.set(keyOf(route, side, upstream), { name, upstream: of, route, index, side })
  }

  /** The place of a route's share. */
  of(route: Route, { side, upstream }: Pick<Share, 'side' | 'upstream'>): Place {
    return (this.#byKey.get(keyOf(route, side, upstream)) ?? this.#byKey.get(upstream)) as Place
  }

  /** The place of requests that no route has. */
  ofDefault(table: Table): Place {
    return this.#byKey.get(table.default) as Place
  }

  get all(): readonly Place[] {
    return [...this.#byKey.values()]
  }
}

// Names have no NUL.
function keyOf({ id }: Route, side: string, upstream: string): string {
  return `${upstream}\0${id}\0${side}`
}

function isOwn(route: Route, side: 'from' | 'to'): boolean {
  const { rewrite, answer, timeouts } = route
  return timeouts !== null || (side === 'to' && (rewrite !== null || answer !== null))
}

/** The request headers that are set or removed at a place, the later ones counting more. */
export function requestChanges({ upstream, route, side }: Place): FieldChange[] {
  const own = route !== null && side === 'to' ? changesIn(route.document.rewrite?.headers, route.params) : []
  return [...changesIn(upstream.document.headers, null), ...own]
}

/** The response headers that are. */
export function answerChanges({ route, side }: Place): FieldChange[] {
  return route !== null && side === 'to' ? changesIn(route.document.answer?.headers, route.params) : []
}

function changesIn(said: FieldEditsDocument | undefined, params: readonly string[] | null): FieldChange[] {
  const removed = (said?.remove ?? []).map((name) => ({ name, value: null }))
  const set = Object.entries(said?.set ?? {}).map(([name, text]) => ({
    name,
    value: parseTemplate(text, params, (literal) => literal) as Template,
  }))
  return [...removed, ...set]
}

/**
 * A header value in an engine's own words.
 * @param words the text of a literal piece, and of each placeholder; null for one that the engine has no word for
 * @returns the text, or the name of the placeholder that has none
 */
export function templateText(
  { pieces }: Template,
  place: Place,
  words: { literal(text: string): string; source(name: 'client.ip' | 'request.id' | 'host'): string },
): { readonly text: string } | { readonly unknown: string } {
  let text = ''
  for (const piece of pieces) {
    if (typeof piece === 'string') text += words.literal(piece)
    else if ('param' in piece) return { unknown: `{param.${piece.param}}` }
    else if (piece.name === 'route' || piece.name === 'side') {
      // Those of an upstream are set for all its routes.
      if (place.route === null) return { unknown: `{${piece.name}}` }
      text += words.literal(piece.name === 'route' ? place.route.id : place.side)
    } else text += words.source(piece.name)
  }
  return { text }
}
