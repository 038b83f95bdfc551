/**
 * Where the time of a profiled process went: self time by function and by file, read from V8's .cpuprofile files.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { markdownTable } from './report.ts'

/** The parts of a .cpuprofile that are read here (the inspector protocol's Profiler.Profile). */
export interface CpuProfile {
  readonly nodes: ReadonlyArray<{
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }>
  /** The node on top of the stack at each sample. */
  readonly samples: readonly number[]
  /** Microseconds from one sample to the next. */
  readonly timeDeltas: readonly number[]
}

/** Time that was spent in one place itself, not in what it called. */
export interface SelfTime {
  readonly place: string
  readonly micros: number
}

/** Self time by function and by file, the largest first; time without work is left out. */
export function selfTimes(profile: CpuProfile): { readonly functions: SelfTime[]; readonly files: SelfTime[] } {
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]))
  const functions = new Map<string, number>()
  const files = new Map<string, number>()
  for (const [i, id] of profile.samples.entries()) {
    const frame = frames.get(id)
    if (frame === undefined || frame.functionName === '(idle)') continue
    // A sample stands for the time until the next one.
    const micros = profile.timeDeltas[i + 1] ?? 0
    const file = fileOf(frame)
    const line = frame.lineNumber >= 0 && frame.url !== '' ? `:${frame.lineNumber + 1}` : ''
    add(functions, `${frame.functionName || '(anonymous)'} ${file}${line}`, micros)
    add(files, file, micros)
  }
  return { functions: largestFirst(functions), files: largestFirst(files) }
}

/** The newest profile of a folder as two tables; throws where there is none. */
export function printProfile(folder: string, lines = 30): string {
  const names = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))
  if (names.length === 0) throw new Error(`no profile in ${folder}: did banyan end by itself?`)
  return names.map((name) => printOne(join(folder, name), lines)).join('\n')
}

function printOne(path: string, lines: number): string {
  const { functions, files } = selfTimes(JSON.parse(readFileSync(path, 'utf8')) as CpuProfile)
  const busy = files.reduce((sum, file) => sum + file.micros, 0)
  const rows = (times: readonly SelfTime[]): string[][] =>
    times
      .slice(0, lines)
      .map(({ place, micros }) => [place, `${((micros / busy) * 100).toFixed(1)} %`, (micros / 1000).toFixed(0)])
  return [
    `## profile of banyan: ${path}, ${(busy / 1e6).toFixed(1)} s of work`,
    '',
    ...markdownTable([['self time by file', 'share', 'ms'], ...rows(files)]),
    '',
    ...markdownTable([['self time by function', 'share', 'ms'], ...rows(functions)]),
    '',
  ].join('\n')
}

/** The project's own files from `src/` on, packages from their name on, Node's as they are. */
function fileOf({ url, functionName }: CpuProfile['nodes'][number]['callFrame']): string {
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)'
  const inPackage = url.lastIndexOf('node_modules/')
  if (inPackage >= 0) return url.slice(inPackage + 'node_modules/'.length)
  const own = url.lastIndexOf('/src/')
  return own >= 0 ? url.slice(own + 1) : url
}

function add(sums: Map<string, number>, key: string, micros: number): void {
  sums.set(key, (sums.get(key) ?? 0) + micros)
}

function largestFirst(sums: ReadonlyMap<string, number>): SelfTime[] {
  return [...sums].map(([place, micros]) => ({ place, micros })).sort((a, b) => b.micros - a.micros)
}
