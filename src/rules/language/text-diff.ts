/**
 * Line diff of two texts in the format of `diff -u`.
 */

/** Unchanged lines that are shown around a change. */
const CONTEXT = 3
/** Above this product of line counts a changed region is shown as a whole: the comparison costs as much. */
const MAX_CELLS = 4_000_000

/** One line of a difference: in both texts, only in the old one, only in the new one. */
interface Line {
  readonly mark: ' ' | '-' | '+'
  readonly text: string
}

/** The difference in unified format (without the two file lines); '' where the texts are the same. */
export function diffText(before: string, after: string): string {
  if (before === after) return ''
  const lines = compare(linesOf(before), linesOf(after))
  return hunksOf(lines)
    .map(([start, end]) => hunkText(lines, start, end))
    .join('')
}

/** The lines, each with what ends it; a last line without a line break says so, as `diff` does. */
function linesOf(text: string): string[] {
  const lines = text.split('\n')
  const last = lines.pop() as string
  return last === '' ? lines : [...lines, `${last}\n\\ No newline at end of file`]
}

function compare(before: readonly string[], after: readonly string[]): Line[] {
  const shorter = Math.min(before.length, after.length)
  let head = 0
  while (head < shorter && before[head] === after[head]) head++
  let tail = 0
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++
  const same = (text: string): Line => ({ mark: ' ', text })
  return [
    ...before.slice(0, head).map(same),
    ...compareMiddle(before.slice(head, before.length - tail), after.slice(head, after.length - tail)),
    ...before.slice(before.length - tail).map(same),
  ]
}

/** The longest common subsequence, by the textbook's table. */
function compareMiddle(before: readonly string[], after: readonly string[]): Line[] {
  const gone = before.map((text): Line => ({ mark: '-', text }))
  const come = after.map((text): Line => ({ mark: '+', text }))
  if (before.length * after.length > MAX_CELLS) return [...gone, ...come]
  const width = after.length + 1
  const lengths = new Uint32Array((before.length + 1) * width)
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      const [down, right] = [lengths[(i + 1) * width + j] as number, lengths[i * width + j + 1] as number]
      lengths[i * width + j] =
        before[i] === after[j] ? (lengths[(i + 1) * width + j + 1] as number) + 1 : Math.max(down, right)
    }
  }
  const lines: Line[] = []
  let [i, j] = [0, 0]
  while (i < before.length && j < after.length) {
    if (before[i] === after[j]) lines.push({ mark: ' ', text: before[i++] as string }) && j++
    else if ((lengths[(i + 1) * width + j] as number) >= (lengths[i * width + j + 1] as number)) lines.push(gone[i++]!)
    else lines.push(come[j++]!)
  }
  return [...lines, ...gone.slice(i), ...come.slice(j)]
}

/** From which line to which each hunk goes: changes that are close share one. */
function hunksOf(lines: readonly Line[]): [number, number][] {
  const hunks: [number, number][] = []
  for (const [at, { mark }] of lines.entries()) {
    if (mark === ' ') continue
    const last = hunks.at(-1)
    if (last !== undefined && at - CONTEXT <= last[1]) last[1] = at + CONTEXT + 1
    else hunks.push([Math.max(0, at - CONTEXT), at + CONTEXT + 1])
  }
  return hunks.map(([start, end]) => [start, Math.min(end, lines.length)])
}

function hunkText(lines: readonly Line[], start: number, end: number): string {
  const countOf = (from: number, to: number, mark: '+' | '-'): number =>
    lines.slice(from, to).filter((line) => line.mark === ' ' || line.mark === mark).length
  const range = (mark: '+' | '-'): string => {
    const [first, count] = [countOf(0, start, mark) + 1, countOf(start, end, mark)]
    return `${count === 0 ? first - 1 : first},${count}`
  }
  const body = lines.slice(start, end).map(({ mark, text }) => `${mark}${text}\n`)
  return `@@ -${range('-')} +${range('+')} @@\n${body.join('')}`
}
