/**
 * A table file beside what is live: percents are moved by people and ramps, and a file from a repository does not know how far
 * they are.
 */
import type { TableDocument } from '../table/schema.ts'
import { editTable, plainTable } from './edit.ts'

/** A percent that stays as it is live. */
export interface KeptPercent {
  readonly route: string
  readonly live: number
  readonly file: number
}

/** The file with the percents of the routes that are live under the same id. */
export function withLivePercents(text: string, live: string): { wanted: string; kept: readonly KeptPercent[] } {
  const now = new Map(routesOf(live).map((route) => [route.id, route]))
  const kept: KeptPercent[] = []
  const wanted = editTable(text, (document) => {
    const routes = (document.routes ?? []).map((route) => {
      const running = now.get(route.id)
      if (running === undefined) return route
      const [file, is] = [route.percent ?? 0, running.percent ?? 0]
      // At its step 100 a ramp keeps those without a key behind: both or none.
      const isRamped = running.ramp !== undefined && route.ramp !== undefined
      const more = isRamped && running.noKey !== route.noKey ? { noKey: running.noKey } : {}
      if (file === is && Object.keys(more).length === 0) return route
      kept.push({ route: route.id, live: is, file })
      return { ...route, ...more, percent: is }
    })
    return document.routes === undefined ? document : ({ ...document, routes } as TableDocument)
  })
  return { wanted, kept }
}

function routesOf(text: string): NonNullable<TableDocument['routes']> {
  return (plainTable(text) as unknown as TableDocument).routes ?? []
}
