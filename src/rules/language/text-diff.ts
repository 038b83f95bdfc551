/**
 * Line diff of two texts in the format of `diff -u`.
 */
import type { StructuredPatch } from 'diff'
import { applyPatch } from 'diff/lib/patch/apply.js'
import { formatPatch, OMIT_HEADERS, structuredPatch } from 'diff/lib/patch/create.js'

/** Unchanged lines that are shown around a change. */
const CONTEXT = 3
/** With more changed lines than these the texts are shown as replaced: the time that the comparison takes grows with their square. */
const MAX_CHANGED_LINES = 2_000

/** The difference in unified format (without the two file lines); '' where the texts are the same. */
export function diffText(before: string, after: string): string {
  if (before === after) return ''
  const options = { context: CONTEXT, maxEditLength: MAX_CHANGED_LINES }
  const patch = structuredPatch('', '', before, after, '', '', options)
  return patch === undefined ? replaced(before, after) : formatted(patch.hunks)
}

/** Makes in `text` the change of lines from `before` to `after`; null where the lines are not there, or too many change. */
export function movedLines(before: string, after: string, text: string): string | null {
  const options = { context: CONTEXT, maxEditLength: MAX_CHANGED_LINES }
  const patch = structuredPatch('', '', before, after, '', '', options)
  const moved = patch === undefined ? false : applyPatch(text, patch, { autoConvertLineEndings: false })
  return moved === false ? null : moved
}

function replaced(before: string, after: string): string {
  const [old, now] = [linesOf(before), linesOf(after)]
  const lines = [...old.map((line) => `-${line}`), ...now.map((line) => `+${line}`)]
  return formatted([{ oldStart: 1, oldLines: old.length, newStart: 1, newLines: now.length, lines }])
}

const linesOf = (text: string): string[] => text.replace(/\n$/, '').split('\n')

function formatted(hunks: StructuredPatch['hunks']): string {
  return formatPatch({ oldFileName: '', newFileName: '', oldHeader: '', newHeader: '', hunks }, OMIT_HEADERS)
}
