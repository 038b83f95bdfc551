/**
 * The differences between two tables: which routes and upstreams, and which of their keys.
 */

import { NO_UPSTREAM, type Route, type Table, type Upstream } from '../table/table.ts'
import { type Plain, sameValue } from '../values/plain.ts'
import { type Replaced, replaced } from '../values/replaced.ts'
import { allOf, type Steps } from '../values/steps.ts'
import { flowText } from './yaml-print.ts'

/** One thing that is different. */
export interface TableChange {
  readonly what: 'route' | 'upstream' | 'default' | 'visitor'
  /** The route's id or the upstream's name; the name of the new one for `default`, of the cookie for `visitor`. */
  readonly name: string
  readonly change: 'added' | 'removed' | 'changed'
  /** The keys that differ, as routes.yaml says them; absent where the whole thing was added or removed. */
  readonly keys?: readonly KeyChange[]
}

/** A key that differs; a side that does not have it has null. */
export interface KeyChange {
  readonly key: string
  readonly before: unknown
  readonly after: unknown
}

/** What is different, short enough for a list of revisions: values as one line of routes.yaml. */
export interface ChangeSummary {
  readonly changes: readonly BriefChange[]
  /** Changes that are not listed. */
  readonly more: number
}

/** A change with its values as text. */
export interface BriefChange extends Omit<TableChange, 'keys'> {
  /** Empty where the whole thing was added or removed. */
  readonly keys: readonly { readonly key: string; readonly before: string | null; readonly after: string | null }[]
}

const MAX_BRIEF_CHANGES = 10
const MAX_BRIEF_KEYS = 10
const MAX_BRIEF_VALUE = 80

/** The changes in brief. */
export function briefly(changes: readonly TableChange[]): ChangeSummary {
  const value = (one: unknown): string | null => {
    if (one === null || one === undefined) return null
    const text = flowText(one as Plain)
    return text.length > MAX_BRIEF_VALUE ? `${text.slice(0, MAX_BRIEF_VALUE - 1)}…` : text
  }
  const brief = changes.slice(0, MAX_BRIEF_CHANGES).map(({ what, name, change, keys = [] }) => {
    const told = keys.slice(0, MAX_BRIEF_KEYS)
    return {
      what,
      name,
      change,
      keys: told.map(({ key, before, after }) => ({ key, before: value(before), after: value(after) })),
    }
  })
  return { changes: brief, more: changes.length - brief.length }
}

/** What is different in `after`, in the order of the two tables; empty where only comments, order or spacing differ. */
export function tableChanges(before: Table, after: Table): TableChange[] {
  return allOf(changesSteps(before, after))
}

/** As `tableChanges`, an entry at a time. */
export function* changesSteps(before: Table, after: Table): Steps<TableChange[]> {
  const changes: TableChange[] = []
  const [was, is] = [defaultOf(before), defaultOf(after)]
  if (!sameValue(was, is)) {
    const keys = [{ key: 'default', before: was, after: is }]
    changes.push({ what: 'default', name: after.default, change: 'changed', keys })
  }
  const keys = keyChanges(before.visitor.document, after.visitor.document)
  if (keys.length > 0) changes.push({ what: 'visitor', name: after.visitor.name, change: 'changed', keys })
  const upstreams = replaced([...before.upstreams.values()], [...after.upstreams.values()])
  yield* addChanges(changes, 'upstream', upstreams)
  const routes = replaced(before.routes, after.routes)
  yield* addChanges(changes, 'route', routes)
  return changes
}

/** What the table says for requests without a route. */
function defaultOf({ default: upstream, defaultStatus }: Table): Plain {
  return upstream === NO_UPSTREAM ? { status: defaultStatus } : upstream
}

function* byName(things: readonly Thing[]): Steps<ReadonlyMap<string, object>> {
  const named = new Map<string, object>()
  for (const thing of things) {
    named.set('id' in thing ? thing.id : thing.name, thing.document)
    yield
  }
  return named
}

type Thing = Pick<Route, 'id' | 'document'> | Pick<Upstream, 'name' | 'document'>

function* addChanges(changes: TableChange[], what: 'route' | 'upstream', { gone, come }: Replaced<Thing>): Steps<void> {
  const before = yield* byName(gone)
  const after = yield* byName(come)
  for (const [name, old] of before) {
    yield
    const now = after.get(name)
    if (now === undefined) changes.push({ what, name, change: 'removed' })
    else {
      const keys = keyChanges(old, now)
      if (keys.length > 0) changes.push({ what, name, change: 'changed', keys })
    }
  }
  for (const name of after.keys()) {
    yield
    if (!before.has(name)) changes.push({ what, name, change: 'added' })
  }
}

function keyChanges(before: object, after: object): KeyChange[] {
  if (before === after) return []
  const [old, now] = [before as Record<string, Plain>, after as Record<string, Plain>]
  const keys = [...new Set([...Object.keys(old), ...Object.keys(now)])]
  return keys
    .filter((key) => !sameValue(old[key], now[key]))
    .map((key) => ({ key, before: old[key] ?? null, after: now[key] ?? null }))
}
