/**
 * The packages of the peers: installed from bench/package-lock.json the first time they are needed.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL('..', import.meta.url))

/** Installs the peers unless they stand as locked. Throws an Error that says what npm said. */
export function needPeers(): void {
  if (standAsLocked()) return
  console.error('banyan: installing the peers of the benchmark with npm ci in bench/')
  try {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
      cwd: FOLDER,
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
    })
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() || String(error)
    throw new Error(`npm ci in bench/ failed: ${said.split('\n').slice(-3).join(' | ')}`)
  }
}

/** Whether the installed packages are those of the lock file; npm keeps its own copy of what it installed. */
function standAsLocked(): boolean {
  const locked = packagesIn('package-lock.json')
  const installed = packagesIn('node_modules/.package-lock.json')
  if (locked === null || installed === null) return false
  return Object.entries(locked).every(
    ([path, locks]) => path === '' || locks.optional === true || installed[path]?.version === locks.version,
  )
}

type Packages = Record<string, { readonly version?: string; readonly optional?: boolean }>

function packagesIn(file: string): Packages | null {
  try {
    return (JSON.parse(readFileSync(`${FOLDER}/${file}`, 'utf8')) as { packages: Packages }).packages
  } catch {
    return null
  }
}
