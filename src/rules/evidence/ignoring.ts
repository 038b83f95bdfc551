/**
 * Which paths of differences the settings leave out, wherever they were found.
 */
import { isBodyIgnored } from './body.ts'
import type { CompareSettings } from './difference.ts'
import { isPointer, keysOf, Marks } from './pointers.ts'

/** Tells whether a path that differences are counted under is ignored as a whole: what stands for several places is, if all of them are. */
export function ignoring(settings: Pick<CompareSettings, 'ignore'>): (path: string) => boolean {
  const { ignore } = settings
  if (ignore.length === 0) return () => false
  const names = new Set(ignore.map((one) => one.toLowerCase()))
  const root = Marks.of({ ignore, unordered: [], redact: [] })
  const ignoresBody = isBodyIgnored(settings)
  return (path) => {
    if (!isPointer(path)) return names.has(path.toLowerCase()) || (ignoresBody && path === 'charset')
    let place = root
    return ignoresBody || keysOf(path).some((key) => (place = place.below(key)).has('ignore'))
  }
}
