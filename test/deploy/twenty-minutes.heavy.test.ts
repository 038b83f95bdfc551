/**
 * scripts/twenty-minutes.ts: a change gets live under load without a failed request.
 */
import { expect, test } from 'vitest'
import { run } from './twenty-minutes.ts'

test('a change goes through its tests and a rolling deploy to live, and no request fails', async () => {
  const { code, said, complaint } = await run()
  expect(complaint).toBe('')
  for (const step of [
    'before',
    'change',
    'types',
    'tests',
    'package',
    'deploy 1/3',
    'deploy 2/3',
    'deploy 3/3',
    'live',
  ]) {
    expect(said).toMatch(new RegExp(`^${step} +\\d+\\.\\d s`, 'm'))
  }
  expect(said).toMatch(/all 3 instances run build [0-9a-f]{12}; 30 of 30 answers are theirs/)
  expect(said).toMatch(/; 0 of \d{3,} requests failed$/)
  expect(code).toBe(0)
})
