/**
 * What an edit would change, as text.
 */
import type { DryRunAnswer } from '../answers/revisions.ts'
import { paint, printable } from './io.ts'

/** The result of a dry run, as text. */
export function dryRunText(told: DryRunAnswer, colour: boolean): string {
  if (!told.changed) return 'no changes\n'
  const { exchanges, moved, movedPercent, units, withoutKey, silenced, caches } = told.simulation
  const lines = [
    diffInColours(told.diff, colour).trimEnd(),
    '',
    exchanges === 0
      ? 'no recent requests to simulate'
      : `${moved} of the last ${exchanges} requests (${movedPercent} %) and ${units.moved} of ${units.seen} clients would be routed differently`,
    ...((withoutKey?.moved ?? 0) === 0
      ? []
      : [`${withoutKey?.moved} of them have no sticky key: such requests would move all at once`]),
    ...silenced.map((route) => `${route} would no longer match any of them`),
    ...caches.map(({ route, upstream, why }) => `cached responses of ${route} from ${upstream} would be lost: ${why}`),
    'nothing was changed (dry run)',
  ]
  return `${lines.join('\n')}\n`
}

/** A unified diff with coloured lines. */
export function diffInColours(diff: string, colour: boolean): string {
  const colourOf = { '+': 'green', '-': 'red', '@': 'blue' } as const
  return diff
    .split('\n')
    .map((line) => {
      const found = colourOf[line[0] as keyof typeof colourOf]
      return found === undefined ? printable(line) : paint(colour, found, printable(line))
    })
    .join('\n')
}
