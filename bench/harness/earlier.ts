/**
 * banyan as it was at an earlier commit, out of git: what changes are measured against.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The commit that budgets are set against. */
export const EARLIER = '997629a'

/** Whether this clone has the commit: one that is shallow, or a package, has not. */
export function hasEarlier(): boolean {
  try {
    execFileSync('git', ['cat-file', '-e', `${EARLIER}^{commit}`], { cwd: ROOT, stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/**
 * Takes the commit out of git into a cache folder, with its own packages, unless it is there.
 * @returns the path of its program
 * @throws {Error} says what git or npm said
 */
export function earlierProgram(): string {
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'banyan-bench', EARLIER)
  if (!existsSync(folder)) {
    console.error(`banyan: preparing banyan at ${EARLIER} in ${folder}`)
    const part = `${folder}.part`
    rmSync(part, { recursive: true, force: true })
    mkdirSync(part, { recursive: true })
    run('git', ['archive', '--output', join(part, 'source.tar'), EARLIER], ROOT)
    run('tar', ['xf', 'source.tar'], part)
    run('npm', ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'], part)
    renameSync(part, folder)
  }
  return join(folder, 'src/main.ts')
}

function run(command: string, args: readonly string[], cwd: string): void {
  try {
    execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() || String(error)
    throw new Error(`${command} ${args[0]} failed: ${said.split('\n').slice(-3).join(' | ')}`)
  }
}
