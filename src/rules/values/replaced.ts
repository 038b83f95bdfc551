/**
 * What is another object in a list than it was, so that a change of one entry of thousands costs no more than a look at each. All
 * that follow a table ask for the same: few differences are found once, and remembered with the list.
 */

/** What one list has in the place of what another one had. */
export interface Replaced<Entry> {
  readonly gone: readonly Entry[]
  readonly come: readonly Entry[]
}

/** By the later list; it must not keep the earlier one alive. */
const KNOWN = new WeakMap<
  readonly unknown[],
  { readonly before: WeakRef<readonly unknown[]>; readonly found: Pick<WeakRef<Replaced<unknown>>, 'deref'> }
>()

/** More differences than this are remembered for the moment, in which all ask for them: they would keep the entries of a whole table alive. */
const MAX_KNOWN = 100

/** The entries of two lists that are not the same object at the same place. One that has moved may be among both. @param after it must not be changed any more */
export function replaced<Entry>(before: readonly Entry[], after: readonly Entry[]): Replaced<Entry> {
  if (before === after) return { gone: [], come: [] }
  const known = KNOWN.get(after)
  const remembered = known?.before.deref() === before ? known.found.deref() : undefined
  if (remembered !== undefined) return remembered as Replaced<Entry>
  const found = compared(before, after)
  remember(before, after, found)
  return found
}

/** The differences of two lists are known where the later one was made. */
export function remember<Entry>(before: readonly Entry[], after: readonly Entry[], found: Replaced<Entry>): void {
  const isLarge = found.gone.length + found.come.length > MAX_KNOWN
  KNOWN.set(after, { before: new WeakRef(before), found: isLarge ? new WeakRef(found) : { deref: () => found } })
}

function compared<Entry>(before: readonly Entry[], after: readonly Entry[]): Replaced<Entry> {
  if (before.length === after.length) {
    const gone: Entry[] = []
    const come: Entry[] = []
    for (let at = 0; at < before.length; at++) {
      if (before[at] === after[at]) continue
      gone.push(before[at] as Entry)
      come.push(after[at] as Entry)
    }
    return { gone, come }
  }
  const shorter = Math.min(before.length, after.length)
  let head = 0
  while (head < shorter && before[head] === after[head]) head++
  let tail = 0
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++
  return { gone: before.slice(head, before.length - tail), come: after.slice(head, after.length - tail) }
}

interface Named {
  readonly id: string
}

/** The ids of what has gone, and not come in another place. */
export function goneIds({ gone, come }: Replaced<Named>): string[] {
  return idsBeside(gone, come)
}

/** The ids of what has come, and not gone from another place. */
export function newIds({ gone, come }: Replaced<Named>): string[] {
  return idsBeside(come, gone)
}

/** Those of the one list that are not in the other. Most edits leave all ids where they are, which takes no look-ups. */
function idsBeside(one: readonly Named[], other: readonly Named[]): string[] {
  if (one.length === other.length && one.every(({ id }, at) => other[at]?.id === id)) return []
  const others = new Set(other.map(({ id }) => id))
  return one.map(({ id }) => id).filter((id) => !others.has(id))
}
