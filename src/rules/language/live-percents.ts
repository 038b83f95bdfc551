/**
 * A table file beside what is live: percents are moved by people and ramps, and a file from a repository does not know how far
 * they are.
 */
import type { RouteDocument, TableDocument } from '../table/schema.ts'
import { editTable, plainTable } from './edit.ts'
import { MAX_NUMBERS, type NumberChange, type NumberPlaces, numbersBetween, PERCENT, withNumbers } from './numbers.ts'

/** A percent that stays as it is live. */
export interface KeptPercent {
  readonly route: string
  readonly live: number
  readonly file: number
}

/** What is known of the text of a file that is valid. */
export interface KnownFile {
  readonly routes: readonly RouteDocument[]
  readonly numbers: NumberPlaces
}

/**
 * The file with the percents of the routes that are live under the same id.
 * @param known of the file: where only numbers differ, the texts need not be parsed
 */
export function withLivePercents(
  text: string,
  live: string,
  { routes, numbers }: KnownFile,
): { wanted: string; kept: readonly KeptPercent[] } {
  const moved = numbersBetween(numbers, text, live)?.filter(({ owner, part }) => owner >= 0 && part === PERCENT)
  const now = new Map(
    moved === undefined
      ? routesOf(live).map((route) => [route.id, route])
      : moved.map(({ owner, value }) => {
          const route = routes[owner] as RouteDocument
          return [route.id, { ...route, percent: value }]
        }),
  )
  const kept: KeptPercent[] = []
  const changes: NumberChange[] = []
  let areNumbers = true
  const changed = routes.map((route, owner) => {
    const running = now.get(route.id)
    if (running === undefined) return route
    const [file, is] = [route.percent ?? 0, running.percent ?? 0]
    // At its step 100 a ramp keeps those without a key behind: both or none.
    const isRamped = running.ramp !== undefined && route.ramp !== undefined
    const more = isRamped && running.noKey !== route.noKey ? { noKey: running.noKey } : {}
    if (file === is && Object.keys(more).length === 0) return route
    kept.push({ route: route.id, live: is, file })
    changes.push({ owner, part: PERCENT, value: is })
    areNumbers &&= Object.keys(more).length === 0
    return { ...route, ...more, percent: is }
  })
  if (kept.length === 0) return { wanted: text, kept }
  const edited = areNumbers && kept.length <= MAX_NUMBERS ? withNumbers(text, numbers, changes) : null
  const wanted = edited?.text ?? editTable(text, (document) => ({ ...document, routes: changed }) as TableDocument)
  return { wanted, kept }
}

function routesOf(text: string): NonNullable<TableDocument['routes']> {
  return (plainTable(text) as unknown as TableDocument).routes ?? []
}

/** The text, alike for all percents. */
export function withoutPercents(text: string): string {
  return text.replaceAll(/(\bpercent["']?\s*:\s*)[\d.]+/g, '$1')
}
