//! A plan that tests commits.

use meshproof_proto::expr::Template;

use super::super::compiled::commits::{Commits, Which};
use super::super::model::commits as model;
use super::super::source::Spanned;
use super::Compiler;
use crate::run::Flaky;

/// The commit that is meant when the bad one is not named.
const NEWEST: &str = "HEAD";

impl Compiler<'_> {
    /// `None` after a report.
    pub(super) fn commits(&mut self, commits: &model::Commits) -> Option<Commits> {
        let (repo, is_url, credentials) = match &commits.repo {
            Some(repo) => (self.line(&repo.at)?, repo.is_url, repo.credentials.as_ref()),
            None => (".".to_owned(), false, None),
        };
        if let Some(secret) = credentials {
            self.look_secret(secret.span, &[&secret.value]);
        }
        let which = self.which(commits.which.as_ref()?)?;
        let optional = |line: &Option<Spanned<Template>>| match line {
            Some(line) => self.line(line).map(Some),
            None => Some(None),
        };
        let (build, run) = (optional(&commits.check.build)?, optional(&commits.check.run)?);
        let verdict = &commits.verdict;
        Some(Commits {
            repo,
            is_url,
            credentials: credentials.map(|secret| secret.value.clone()),
            which,
            template: commits.workspace.template.as_ref().map(|template| template.value.clone()),
            overlay: commits.workspace.overlay.iter().map(|path| path.value.clone()).collect(),
            keep: commits.workspace.keep,
            build,
            run,
            within: commits.check.within,
            then: commits.then.clone(),
            repeat: verdict.repeat.and_then(|repeat| repeat.try_into().ok()).unwrap_or(1),
            bad_when: verdict.bad_when.unwrap_or_default(),
            skip_exit: verdict.skip_exit.and_then(|code| code.try_into().ok()),
            flaky: verdict.flaky.unwrap_or(Flaky::Warn),
            parallel: commits.parallel.and_then(|parallel| parallel.try_into().ok()).unwrap_or(1),
        })
    }

    fn which(&self, which: &model::Which) -> Option<Which> {
        let newest = |bad: &Option<Spanned<Template>>| match bad {
            Some(bad) => self.line(bad),
            None => Some(NEWEST.to_owned()),
        };
        Some(match which {
            model::Which::Bisect { good, bad } => Which::Bisect { good: self.line(good)?, bad: newest(bad)? },
            model::Which::Each { good, bad } => Which::Each(vec![format!("{}..{}", self.line(good)?, newest(bad)?)]),
            model::Which::List(list) => Which::Each(list.iter().map(|one| self.line(one)).collect::<Option<_>>()?),
        })
    }

    /// A text whose expressions see `plan` and `params`.
    fn line(&self, line: &Spanned<Template>) -> Option<String> {
        self.settled.text(&line.value, line.span)
    }
}
