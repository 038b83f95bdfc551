/**
 * The endpoints that were seen, as a tree of their paths. A place with many different segments is folded to a placeholder. In
 * memory, within bounds: of too many endpoints the least used go.
 */
import { KINDS, type Kind, kindOf, MAX_DEPTH, withoutParameters } from '../../rules/discovery/fold.ts'
import { ownText } from '../own-texts.ts'
import { Callers, type CallersDelta } from './callers.ts'

/** Names that are told apart below the root, and below any other place. */
const MAX_TOP_NAMES = 200
const MAX_NAMES = 40

/** Of those, what has this part of the requests there stays a name when the others are folded. */
const NAME_SHARE = 0.02

/** Counts of one endpoint. Plain data. */
export interface EndpointCounts {
  requests: number
  /** By status class: 1xx to 5xx. */
  readonly statuses: number[]
  durationMs: number
  /** Epoch milliseconds. */
  firstMs: number
  lastMs: number
}

/** An endpoint with what was counted of it. Plain data. */
export interface EndpointDelta extends EndpointCounts {
  readonly method: string
  /** As routes write it: `/stores/:id/hours`. */
  readonly path: string
  readonly callers: CallersDelta
}

/** One endpoint of a tree. */
export interface Endpoint {
  readonly method: string
  readonly counts: EndpointCounts
  readonly callers: Callers
  /** Of that, what was counted since it was last taken. */
  fresh: EndpointCounts
  readonly freshCallers: Callers
}

interface Place {
  names: Map<string, Place> | null
  /** Any segment. */
  any: Place | null
  /** Any rest. */
  rest: Place | null
  /** What the segments were that led here, where any may. */
  kinds: number[] | null
  endpoints: Endpoint[] | null
  requests: number
  /** Names that are not known yet are values. */
  isFolded: boolean
  isTouched: boolean
}

const NONE: ReadonlySet<string> = new Set()

/** The endpoints. */
export class EndpointTree {
  readonly #most: number
  #root = newPlace()
  #size = 0
  /** Requests of endpoints that were dropped since there were too many; of those, what was not taken. */
  dropped = 0
  droppedFresh = 0

  /** @param most endpoints */
  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#size
  }

  /**
   * The endpoint of a request.
   * @param path without the slash it begins with; a segment `:KIND` is a placeholder where `isTemplate`
   * @param makes adds it where it is new
   */
  at(method: string, path: string, { makes = true, isTemplate = false, ignoresCase = false } = {}): Endpoint | null {
    let place = this.#root
    let begin = 0
    for (let depth = 0; ; depth++) {
      const slash = path.indexOf('/', begin)
      const end = slash === -1 ? path.length : slash
      if (depth === MAX_DEPTH) {
        if (place.rest === null && !makes) return null
        place.rest ??= newPlace()
        place = place.rest
        break
      }
      const next = this.#below(place, path.slice(begin, end), depth, slash === -1, makes, isTemplate, ignoresCase)
      if (next === null) return null
      place = next
      if (slash === -1) break
      begin = slash + 1
    }
    const known = place.endpoints?.find((one) => one.method === method)
    if (known !== undefined || !makes) return known ?? null
    if (this.#size >= this.#most) return this.#prune() ? this.at(method, path, { isTemplate, ignoresCase }) : null
    const made: Endpoint = {
      method,
      ...{ counts: noCounts(), callers: new Callers() },
      ...{ fresh: noCounts(), freshCallers: new Callers() },
    }
    place.endpoints = [...(place.endpoints ?? []), made]
    this.#size++
    return made
  }

  /** Every endpoint with its path. */
  all(): Generator<[path: string, endpoint: Endpoint]> {
    return endpointsBelow(this.#root, '', NONE, false)
  }

  /** The endpoints that were asked for since this was last called. To be read to the end. */
  touched(): Generator<[path: string, endpoint: Endpoint]> {
    return endpointsBelow(this.#root, '', NONE, true)
  }

  #below(
    place: Place,
    raw: string,
    depth: number,
    isLast: boolean,
    makes: boolean,
    isTemplate: boolean,
    ignoresCase: boolean,
  ): Place | null {
    const { names } = place
    const plain = names?.get(raw)
    if (plain !== undefined) return counted(plain)
    if (isTemplate && raw === '*') return counted((place.rest ??= newPlace()))
    const given = isTemplate && raw.startsWith(':') ? kindNamed(raw) : null
    const bare = withoutParameters(raw)
    const segment = ignoresCase ? bare.toLowerCase() : bare
    // An empty segment that is not the last is nothing that a route can have.
    const kind = given ?? (segment === '' && !isLast ? 'text' : kindOf(segment))
    if (kind !== null) return anyOf(place, kind, makes)
    const known = names?.get(segment)
    if (known !== undefined) return counted(known)
    if (place.isFolded && segment !== '') return anyOf(place, 'name', makes)
    if (!makes) return null
    place.names ??= new Map()
    const made = newPlace()
    place.names.set(ownText(segment), made)
    if (place.names.size <= (depth === 0 ? MAX_TOP_NAMES : MAX_NAMES)) return counted(made)
    this.#fold(place, depth)
    return place.names.get(segment) ?? counted(place.any as Place)
  }

  /** The names of a place are values, but for those that are asked for often. */
  #fold(place: Place, depth: number): void {
    const names = [...(place.names ?? [])].sort(([, a], [, b]) => b.requests - a.requests)
    const total = names.reduce((sum, [, { requests }]) => sum + requests, 0)
    const most = (depth === 0 ? MAX_TOP_NAMES : MAX_NAMES) / 2
    const stays = ([name, { requests }]: [string, Place], at: number): boolean =>
      name === '' || (at < most && requests > 1 && requests >= total * NAME_SHARE)
    const kept = names.filter(stays)
    place.any ??= newPlace()
    place.any.kinds ??= KINDS.map(() => 0)
    for (const [name, gone] of names) {
      if (kept.some(([one]) => one === name)) continue
      place.any.kinds[KINDS.indexOf('name')]! += gone.requests
      this.#merge(place.any, gone, depth + 1)
    }
    place.names = new Map(kept)
    place.isFolded = true
  }

  #merge(into: Place, from: Place, depth: number): void {
    into.requests += from.requests
    into.isTouched ||= from.isTouched
    into.isFolded ||= from.isFolded
    for (const one of from.endpoints ?? []) {
      const known = into.endpoints?.find(({ method }) => method === one.method)
      if (known === undefined) into.endpoints = [...(into.endpoints ?? []), one]
      else {
        addCounts(known.counts, one.counts)
        addCounts(known.fresh, one.fresh)
        known.callers.add(one.callers.all())
        known.freshCallers.add(one.freshCallers.all())
        this.#size--
      }
    }
    for (const [name, place] of from.names ?? []) {
      const known = into.names?.get(name)
      if (known !== undefined) this.#merge(known, place, depth + 1)
      else if (into.isFolded && name !== '') this.#merge((into.any ??= newPlace()), place, depth + 1)
      else {
        into.names ??= new Map()
        into.names.set(name, place)
      }
    }
    if (from.any !== null) {
      if (into.any === null) into.any = from.any
      else {
        for (const [at, votes] of (from.any.kinds ?? []).entries())
          (into.any.kinds ??= KINDS.map(() => 0))[at]! += votes
        this.#merge(into.any, from.any, depth + 1)
      }
    }
    if (from.rest !== null) {
      if (into.rest === null) into.rest = from.rest
      else this.#merge(into.rest, from.rest, depth + 1)
    }
    if (into.names !== null && into.names.size > MAX_NAMES) this.#fold(into, depth)
  }

  /** Drops the least used half of the endpoints, and those places that are left without any. */
  #prune(): boolean {
    const all = [...this.all()].map(([, endpoint]) => endpoint)
    const gone = new Set(all.sort((a, b) => a.counts.requests - b.counts.requests).slice(0, Math.ceil(all.length / 2)))
    for (const { counts, fresh } of gone) {
      this.dropped += counts.requests
      this.droppedFresh += fresh.requests
    }
    prunePlace(this.#root, gone)
    this.#size -= gone.size
    return gone.size > 0
  }
}

/** @returns whether anything is left */
function prunePlace(place: Place, gone: ReadonlySet<Endpoint>): boolean {
  place.endpoints = place.endpoints?.filter((one) => !gone.has(one)) ?? null
  for (const [name, below] of place.names ?? []) if (!prunePlace(below, gone)) place.names?.delete(name)
  if (place.any !== null && !prunePlace(place.any, gone)) place.any = null
  if (place.rest !== null && !prunePlace(place.rest, gone)) place.rest = null
  const hasNames = place.names !== null && place.names.size > 0
  return hasNames || place.any !== null || place.rest !== null || (place.endpoints?.length ?? 0) > 0
}

function anyOf(place: Place, kind: Kind, makes: boolean): Place | null {
  if (place.any === null && !makes) return null
  place.any ??= newPlace()
  const { any } = place
  any.kinds ??= KINDS.map(() => 0)
  if (makes) any.kinds[KINDS.indexOf(kind)]!++
  return counted(any)
}

function counted(place: Place): Place {
  place.requests++
  place.isTouched = true
  return place
}

function newPlace(): Place {
  return {
    names: null,
    any: null,
    rest: null,
    kinds: null,
    endpoints: null,
    requests: 0,
    isFolded: false,
    isTouched: false,
  }
}

/** `:id2` is an `:id`. */
function kindNamed(text: string): Kind {
  const word = text.slice(1).replace(/\d+$/, '')
  return KINDS.find((kind) => kind === word) ?? 'name'
}

function* endpointsBelow(
  place: Place,
  path: string,
  used: ReadonlySet<string>,
  touchedOnly: boolean,
): Generator<[string, Endpoint]> {
  for (const endpoint of place.endpoints ?? []) yield [path, endpoint]
  const { any, rest } = place
  for (const [name, below] of place.names ?? [])
    if (enters(below, touchedOnly)) yield* endpointsBelow(below, `${path}/${name}`, used, touchedOnly)
  if (any !== null && enters(any, touchedOnly)) {
    const name = freeName(any.kinds, used)
    yield* endpointsBelow(any, `${path}/:${name}`, new Set([...used, name]), touchedOnly)
  }
  if (rest !== null && enters(rest, touchedOnly)) yield* endpointsBelow(rest, `${path}/*`, used, touchedOnly)
}

function enters(place: Place, touchedOnly: boolean): boolean {
  if (!touchedOnly) return true
  const { isTouched } = place
  place.isTouched = false
  return isTouched
}

/** The most frequent kind; with a number where the path has it already. */
function freeName(kinds: readonly number[] | null, used: ReadonlySet<string>): string {
  const votes = kinds ?? []
  const kind = KINDS[votes.indexOf(Math.max(...votes))] ?? 'name'
  let name: string = kind
  for (let number = 2; used.has(name); number++) name = `${kind}${number}`
  return name
}

export function noCounts(): EndpointCounts {
  return { requests: 0, statuses: [0, 0, 0, 0, 0], durationMs: 0, firstMs: 0, lastMs: 0 }
}

/** Adds `more` to `sum`. */
export function addCounts(sum: EndpointCounts, more: EndpointCounts): void {
  if (more.requests === 0) return
  sum.firstMs = sum.requests === 0 ? more.firstMs : Math.min(sum.firstMs, more.firstMs)
  sum.lastMs = Math.max(sum.lastMs, more.lastMs)
  sum.requests += more.requests
  sum.durationMs += more.durationMs
  for (const [at, count] of more.statuses.entries()) sum.statuses[at]! += count
}

/** Counts one response. */
export function countOne(sum: EndpointCounts, status: number, durationMs: number, nowMs: number): void {
  if (sum.requests === 0) sum.firstMs = nowMs
  sum.lastMs = nowMs
  sum.requests++
  sum.durationMs += durationMs
  sum.statuses[Math.min(Math.floor(status / 100), 5) - 1]!++
}
