//! The settings of the text model: defaults, ranges, and their check before training.
//!
//! Defaults were chosen on the valid rows of public data sets; docs/adr/0011-text-predictor.md has the
//! reasons. Invariant: a [`TextValidParams`] holds values that cannot make training fail or diverge.

/// A setting out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message says what the fields are")]
#[error("{name} is {value}, which is out of its range {range}")]
pub struct ParamError {
    pub name: &'static str,
    pub value: f64,
    pub range: &'static str,
}

/// Settings of the linear part.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearParams {
    /// Cost of a training error against the size of the weights; up to three times as much where rows are few.
    /// Range (0, 1000], default 1.
    pub c: f32,
    /// Passes over the rows, at most. Range 1..=1000, default 15.
    pub max_epochs: usize,
    /// Stops when no dual variable moved by more. Range [0, 1], default 0.001.
    pub tolerance: f32,
}

/// Settings of the multi-layer perceptron.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpParams {
    /// Hidden units that read the full text. Together with the windowed ones 8..=1024 and a multiple of
    /// 8; default 32.
    pub n_whole: usize,
    /// (hidden units, words): units that read every window of so many words and keep the strongest
    /// answer. Default 32 of 5 words and 32 of 3.
    pub windows: [(usize, usize); 2],
    /// Networks that share the units, trained separately and joined. Range 1..=8, and each kind of units a multiple
    /// of it; default 2.
    pub n_networks: usize,
    /// Step of Adagrad. Range (0, 1], default 0.03.
    pub learning_rate: f32,
    /// Initial value of Adagrad's accumulators. Range (0, 1], default 1e-5.
    pub epsilon: f32,
    /// Hidden units silenced in training. Range [0, 0.9], default 0.4.
    pub dropout: f32,
    /// Standard deviation of the first layer's initial weights. Range [0, 1], default 0.02.
    pub start_sd: f32,
    /// Passes over the rows, at most; up to five times as many where rows are few. Range 1..=1000,
    /// default 40.
    pub max_epochs: usize,
    /// Passes without a lower held-out loss before training stops; some more where rows are few. Range
    /// 1..=1000, default 3.
    pub patience: usize,
}

/// Settings of the steps that learn one outcome at once, between retrains.
#[derive(Clone, Debug, PartialEq)]
pub struct OnlineParams {
    /// Cost of an error of the linear part against the size of the step. Range (0, 1000], default 1.
    pub c: f32,
    /// Share of a step of the linear part that its bias takes, which affects every other text. Range [0, 1],
    /// default 0.1.
    pub bias_share: f32,
    /// Step of the dense layers. Range [0, 1], default 0.02.
    pub dense_rate: f32,
}

/// Settings of the rehearsal that finds passes, calibration and thresholds on held-out rows.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldParams {
    /// Rows below which there is no rehearsal, but the usual number of passes and the initial calibration.
    /// Range 2.., default 16.
    pub min_rows: usize,
    /// Rows below which every row is scored by a model without it. Default 2000.
    pub few_rows: usize,
    /// Parts of few rows, each of which is held out once. Range 2..=20, default 4.
    pub n_few: usize,
    /// Parts of many rows, of which one is held out. Range 2..=20, default 8.
    pub n_many: usize,
}

/// Settings of the text model; check them to train.
#[derive(Clone, Debug, PartialEq)]
pub struct TextParams {
    /// Logarithm of the number of buckets. Range 8..=16, default 14.
    pub bits: u32,
    /// The linear part.
    pub linear: LinearParams,
    /// The perceptron.
    pub mlp: MlpParams,
    /// Steps between retrains.
    pub online: OnlineParams,
    /// Held-out rows.
    pub folds: FoldParams,
    /// Share of examples with several labels above which labels are judged one by one instead of against
    /// each other. Range [0, 1], default 0.05.
    pub multi_share: f32,
    /// Seed of every random choice. Default 42.
    pub seed: u64,
}

impl Default for TextParams {
    fn default() -> Self {
        Self {
            bits: 14,
            linear: LinearParams { c: 1.0, max_epochs: 15, tolerance: 1e-3 },
            mlp: MlpParams {
                n_whole: 32,
                windows: [(32, 5), (32, 3)],
                n_networks: 2,
                learning_rate: 0.03,
                epsilon: 1e-5,
                dropout: 0.4,
                start_sd: 0.02,
                max_epochs: 40,
                patience: 3,
            },
            online: OnlineParams { c: 1.0, bias_share: 0.1, dense_rate: 0.02 },
            folds: FoldParams { min_rows: 16, few_rows: 2000, n_few: 4, n_many: 8 },
            multi_share: 0.05,
            seed: 42,
        }
    }
}

/// Checked [`TextParams`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextValidParams(TextParams);

impl TextValidParams {
    /// For a guard that checks later, or for values in range by construction.
    pub(crate) fn unchecked(params: TextParams) -> Self {
        Self(params)
    }

    /// The settings.
    #[must_use]
    pub fn params(&self) -> &TextParams {
        &self.0
    }
}

impl TextParams {
    /// Checks every range.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(self) -> Result<TextValidParams, ParamError> {
        self.check_in_place()?;
        Ok(TextValidParams(self))
    }

    pub(crate) fn check_in_place(&self) -> Result<(), ParamError> {
        let check = |ok: bool, name, value: f64, range| {
            if ok { Ok(()) } else { Err(ParamError { name, value, range }) }
        };
        let float = |x: f32, low: f32, high: f32| x >= low && x <= high;
        let (l, m) = (&self.linear, &self.mlp);
        let n_hidden = m.n_hidden();
        check((8..=16).contains(&self.bits), "bits", self.bits.into(), "8..=16")?;
        check(l.c > 0.0 && l.c <= 1000.0, "linear.c", l.c.into(), "(0, 1000]")?;
        check(
            (1..=1000).contains(&l.max_epochs),
            "linear.max_epochs",
            l.max_epochs as f64,
            "1..=1000",
        )?;
        check(float(l.tolerance, 0.0, 1.0), "linear.tolerance", l.tolerance.into(), "[0, 1]")?;
        check(
            (8..=1024).contains(&n_hidden) && n_hidden.is_multiple_of(8),
            "mlp.n_whole + windows",
            n_hidden as f64,
            "8..=1024, a multiple of 8",
        )?;
        for (_, width) in m.windows {
            check((1..=64).contains(&width), "mlp.windows' words", width as f64, "1..=64")?;
        }
        let n = m.n_networks;
        let is_shared = |units: usize| units.is_multiple_of(n);
        check(
            (1..=8).contains(&n)
                && n_hidden.is_multiple_of(8 * n)
                && is_shared(m.n_whole)
                && m.windows.iter().all(|w| is_shared(w.0)),
            "mlp.n_networks",
            n as f64,
            "1..=8, and units of each kind a multiple of it, together of 8 times it",
        )?;
        let rate = m.learning_rate;
        check(rate > 0.0 && rate <= 1.0, "mlp.learning_rate", rate.into(), "(0, 1]")?;
        check(m.epsilon > 0.0 && m.epsilon <= 1.0, "mlp.epsilon", m.epsilon.into(), "(0, 1]")?;
        check(float(m.dropout, 0.0, 0.9), "mlp.dropout", m.dropout.into(), "[0, 0.9]")?;
        check(float(m.start_sd, 0.0, 1.0), "mlp.start_sd", m.start_sd.into(), "[0, 1]")?;
        check(
            (1..=1000).contains(&m.max_epochs),
            "mlp.max_epochs",
            m.max_epochs as f64,
            "1..=1000",
        )?;
        check((1..=1000).contains(&m.patience), "mlp.patience", m.patience as f64, "1..=1000")?;
        let o = &self.online;
        check(o.c > 0.0 && o.c <= 1000.0, "online.c", o.c.into(), "(0, 1000]")?;
        check(float(o.bias_share, 0.0, 1.0), "online.bias_share", o.bias_share.into(), "[0, 1]")?;
        check(float(o.dense_rate, 0.0, 1.0), "online.dense_rate", o.dense_rate.into(), "[0, 1]")?;
        let f = &self.folds;
        check(f.min_rows >= 2, "folds.min_rows", f.min_rows as f64, "2..")?;
        check((2..=20).contains(&f.n_few), "folds.n_few", f.n_few as f64, "2..=20")?;
        check((2..=20).contains(&f.n_many), "folds.n_many", f.n_many as f64, "2..=20")?;
        check(float(self.multi_share, 0.0, 1.0), "multi_share", self.multi_share.into(), "[0, 1]")
    }
}

impl MlpParams {
    /// Hidden units of all kinds.
    #[must_use]
    pub fn n_hidden(&self) -> usize {
        self.n_whole + self.windows.iter().map(|w| w.0).sum::<usize>()
    }
}
