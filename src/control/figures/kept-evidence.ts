/**
 * Evidence as the state store keeps it: sums per route, path, kind and hour; a record per route and per path with what can't be
 * added up; and samples.
 */
import { z } from 'zod'
import type { EvidenceDelta, PathCount, RouteEvidence, Sample, Tally } from '../../state/evidence/tally.ts'
import { HOUR_MS, type NewRecord, type SpaceBounds, type StateRecord, type Sum } from '../../state/store/store.ts'
import { type Basis, basis } from './basis.ts'

/** Space of sums, and of the records of routes and paths. Rates of the last month say whether an endpoint may move. */
export const COUNTS = { space: 'evidence', bounds: { hours: 30 * 24 } satisfies SpaceBounds } as const

/** Samples show single requests: they are few, and kept for a week. */
export const SAMPLES = { space: 'samples', bounds: { records: 1000, hours: 7 * 24 } satisfies SpaceBounds } as const

/** The key of what is counted for a route as a whole. Those of paths begin with a kind. */
const WHOLE = ''

const ROUTE_COUNTS = [
  ...(['comparisons', 'matches', 'partial', 'blind', 'noiseComparisons'] as const),
  ...(['repeats', 'cookieSet', 'morePaths'] as const),
] as const
const PATH_COUNTS = ['count', 'noise', 'asked', 'differed'] as const

const kind = z.enum(['missing', 'extra', 'type', 'value', 'order', 'length'])
const shown = z.string().nullable()
const routeRecord = z.object({ basis, sinceMs: z.number() })
const pathRecord = z.object({ firstMs: z.number(), lastMs: z.number(), from: shown, to: shown })
const sampleRecord = z.object({
  ...{ id: z.string(), route: z.string(), atMs: z.number(), method: z.string(), target: z.string() },
  revision: z.number(),
  differences: z.array(z.object({ path: z.string(), kind, from: shown, to: shown })),
  note: shown,
})

/** What is stored. */
export interface StoredEvidence {
  /** As it was counted, in all hours that are kept. */
  readonly delta: EvidenceDelta
  /** By route: what it is evidence of. */
  readonly bases: ReadonlyMap<string, Basis>
}

/** The sums of what was counted in an hour. */
export function sumsOf(routes: Iterable<RouteEvidence>, hour: number): Sum[] {
  return [...routes].flatMap((known) => [
    { group: known.route, key: WHOLE, hour, counts: countsOf(known) },
    ...known.paths.map((path) => ({ group: known.route, key: keyOf(path), hour, counts: pick(path, PATH_COUNTS) })),
  ])
}

/**
 * The records beside sums.
 * @param counted what the sums are of
 * @param known all that is known of the same routes
 * @param basisOf a route
 */
export function recordsOf(
  counted: Iterable<RouteEvidence>,
  known: Pick<Tally, 'get'>,
  basisOf: (route: string) => Basis | null,
): NewRecord[] {
  return [...counted].flatMap(({ route, paths }) => {
    const whole = known.get(route)
    if (whole === null) return []
    const changed = new Set(paths.map(keyOf))
    return [
      newRecord(route, WHOLE, { basis: basisOf(route), sinceMs: whole.sinceMs }),
      ...whole.paths
        .filter((path) => changed.has(keyOf(path)))
        .map((path) => newRecord(route, keyOf(path), pick(path, ['firstMs', 'lastMs', 'from', 'to']))),
    ]
  })
}

export function recordOfSample(sample: Sample): NewRecord {
  return newRecord(sample.route, sample.id, sample)
}

/** Reads what is stored. What does not have the expected shape is left out. */
export function readEvidence(
  sums: readonly Sum[],
  records: readonly StateRecord[],
  samples: readonly StateRecord[],
): StoredEvidence {
  const bases = new Map<string, Basis>()
  const routes = new Map<string, RouteEvidence>()
  const paths = new Map<string, PathCount>()
  const byPlace = new Map(records.map((record) => [placeOf(record), record.value]))
  for (const { group, key, hour, counts } of sums) {
    const route = routes.get(group) ?? emptyRoute(group, hour * HOUR_MS)
    routes.set(group, route)
    if (key === WHOLE) addCounts(route, counts)
    else {
      const place = placeOf({ group, key })
      const path = paths.get(place) ?? emptyPath(key, hour * HOUR_MS)
      if (path === null) continue
      if (!paths.has(place)) route.paths.push(path)
      paths.set(place, path)
      for (const name of PATH_COUNTS) path[name] += counts[name] ?? 0
      Object.assign(path, parsed(pathRecord, byPlace.get(place)))
    }
  }
  for (const { group, key, value } of records) {
    const read = key === WHOLE ? parsed(routeRecord, value) : null
    if (read === null) continue
    bases.set(group, read.basis)
    const route = routes.get(group)
    // Hours that are gone are not counted since then.
    if (route !== undefined) route.sinceMs = Math.max(read.sinceMs, route.sinceMs)
  }
  const read = samples.flatMap(({ value }) => parsed(sampleRecord, value) ?? [])
  return { delta: { routes: [...routes.values()], samples: read }, bases }
}

function countsOf(known: RouteEvidence): Record<string, number> {
  const counts: Record<string, number> = pick(known, ROUTE_COUNTS)
  for (const [name, count] of Object.entries(known.errors)) counts[`errors.${name}`] = count
  for (const [name, count] of Object.entries(known.skipped)) counts[`skipped.${name}`] = count
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0))
}

function addCounts(route: RouteEvidence, counts: Sum['counts']): void {
  const sums = route as unknown as Record<string, number>
  for (const [name, count] of Object.entries(counts)) {
    const [, what, reason] = /^(errors|skipped)\.([\w-]+)$/.exec(name) ?? []
    if (what === 'errors' || what === 'skipped') {
      const reasons = route[what] as Record<string, number>
      reasons[reason as string] = (reasons[reason as string] ?? 0) + count
    } else if ((ROUTE_COUNTS as readonly string[]).includes(name)) sums[name] = (sums[name] ?? 0) + count
  }
}

function emptyRoute(route: string, sinceMs: number): RouteEvidence {
  return {
    ...{ route, sinceMs, comparisons: 0, matches: 0, partial: 0, blind: 0, noiseComparisons: 0, repeats: 0 },
    ...{ cookieSet: 0, errors: {}, skipped: {}, paths: [], morePaths: 0 },
  }
}

/** @returns null for a key that is none of a path */
function emptyPath(key: string, atMs: number): PathCount | null {
  const at = key.indexOf(' ')
  const read = kind.safeParse(key.slice(0, at))
  if (at === -1 || !read.success) return null
  return {
    ...{ path: key.slice(at + 1), kind: read.data, count: 0, noise: 0, asked: 0, differed: 0 },
    ...{ firstMs: atMs, lastMs: atMs, from: null, to: null, sample: null },
  }
}

function keyOf({ path, kind: word }: Pick<PathCount, 'path' | 'kind'>): string {
  return `${word} ${path}`
}

function placeOf({ group, key }: Pick<Sum, 'group' | 'key'>): string {
  return `${group}\n${key}`
}

function newRecord(group: string, key: string, value: object): NewRecord {
  return { group, key, value: JSON.stringify(value) }
}

function pick<T extends object, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>
}

function parsed<T>(schema: z.ZodType<T>, text: string | undefined): T | null {
  if (text === undefined) return null
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null
  } catch {
    return null
  }
}
