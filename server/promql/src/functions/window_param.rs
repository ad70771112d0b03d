//! Window functions with scalar arguments.

use crate::leaf::Window;

fn take(params: Vec<Vec<f64>>) -> (Vec<f64>, Vec<f64>) {
    let mut params = params.into_iter();
    (params.next().unwrap_or_default(), params.next().unwrap_or_default())
}

pub(super) fn predict_linear(params: Vec<Vec<f64>>) -> Window {
    Window::PredictLinear { ahead_seconds: take(params).0 }
}

pub(super) fn quantile(params: Vec<Vec<f64>>) -> Window {
    Window::QuantileOverTime { quantile: take(params).0 }
}

pub(super) fn smoothing(params: Vec<Vec<f64>>) -> Window {
    let (smoothing, trend) = take(params);
    Window::DoubleExponentialSmoothing { smoothing, trend }
}
